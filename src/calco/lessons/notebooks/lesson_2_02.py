import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.2 · La ventana deslizante en video · The sliding window as a video",
)


@app.cell(hide_code=True)
def _():
    from calco.lessons import kit

    language = kit.language()
    language
    return kit, language


@app.cell(hide_code=True)
def _(kit, language):
    t = kit.Texts(language)
    t.head(
        "2.2",
        es="""
        A la izquierda, la ventana que mira. A la derecha, lo que ya encontró. En este video trabaja un detector
        completo, del año 2005, que la biblioteca entrena en segundos con las escenas del curso.
        """,
        en="""
        On the left, the window that looks. On the right, what it has found so far. In this video a complete detector
        from 2005 is at work, which the library trains in seconds on the scenes of the course.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():
    import numpy as np

    import calco
    from calco import detection
    from calco.annotations import read_annotations
    from calco.lessons.scenes import data_folder, scenes

    folder = scenes()  # drawings from OpenMoji, CC BY-SA 4.0
    annotations = read_annotations(folder / "annotations", folder / "images")
    record = next(_r for _r in annotations.records if _r.name == "test/048@2.png")
    return annotations, calco, data_folder, detection, folder, np, record


@app.cell
def _(data_folder, detection, folder, record):
    slid = detection.slide_window(
        detection.SlideConfig(
            image=str(record.image),
            out=str(data_folder() / "slide" / "window.gif"),
            window="64x64",
            step=16,
            scales=(1, 1.5),
            rate=12,
            examples=str(folder),
            threshold=0.5,
        )
    )
    return (slid,)


@app.cell(hide_code=True)
def _(data_folder, kit, slid, t):
    kit.mo.image(
        data_folder() / "slide" / "window.gif",
        width=720,
        alt=t.pick(
            "Una ventana recorre la escena; al lado aparecen las cajas donde reconoce un objeto",
            "A window runs over the scene; beside it appear the boxes where it recognises an object",
        ),
        caption=t.pick(
            f"{slid.windows} ventanas, {len(slid.hits)} aciertos, {len(slid.boxes)} cajas tras la supresión",
            f"{slid.windows} windows, {len(slid.hits)} hits, {len(slid.boxes)} boxes after suppression",
        ),
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Lo mismo se hace en una terminal, con cualquier imagen y cualquier carpeta de ejemplos anotados:

        ```sh
        calco detect slide scene.png --out window.gif --window 64x64 --step 16 --scales 1 1.5 --examples scenes
        ```

        ## La idea

        El clasificador tiene dos partes: un **descriptor** fijo, que nadie entrena, y una **regresión** que sí aprende.

        El descriptor son los *histogramas de gradientes orientados* (HOG; Dalal y Triggs, 2005). La idea: la forma de
        un objeto está en sus bordes, y no en sus colores. En cada píxel se calcula el gradiente,

        $$m = \sqrt{g_x^2 + g_y^2}, \qquad \alpha = \arctan\!2(g_y, g_x) \bmod \pi,$$

        y cada celda de 8 × 8 píxeles suma la fuerza $m$ de sus gradientes en nueve direcciones $\alpha$. Los bloques de
        2 × 2 celdas se normalizan, para que la luz no importe. El mismo cálculo, en lo esencial:
        """,
        en=r"""
        The same is done in a terminal, with any image and any folder of annotated examples:

        ```sh
        calco detect slide scene.png --out window.gif --window 64x64 --step 16 --scales 1 1.5 --examples scenes
        ```

        ## The idea

        The classifier has two parts: a fixed **descriptor**, which nobody trains, and a **regression**, which learns.

        The descriptor is the *histogram of oriented gradients* (HOG; Dalal and Triggs, 2005). The idea: the shape of an
        object is in its edges, not in its colours. At each pixel the gradient is computed,

        $$m = \sqrt{g_x^2 + g_y^2}, \qquad \alpha = \arctan\!2(g_y, g_x) \bmod \pi,$$

        and each cell of 8 × 8 pixels adds up the strength $m$ of its gradients in nine directions $\alpha$. Blocks of 2
        × 2 cells are normalised, so that the light does not matter. The same computation, in its essence:
        """,
    )
    return


@app.cell
def _(calco, np, record):
    def cells_of(grey, cell=8, bins=9):
        """Return the histograms of a grey image: H x W => H/8 x W/8 x 9."""
        down, across = np.gradient(grey.astype(np.float32))
        strength = np.hypot(across, down)
        direction = (np.arctan2(down, across) % np.pi / np.pi * bins).astype(int) % bins
        rows, columns = grey.shape[0] // cell, grey.shape[1] // cell
        result = np.zeros((rows, columns, bins), np.float32)
        for row in range(rows):
            for column in range(columns):
                place = np.s_[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell]
                result[row, column] = np.bincount(direction[place].ravel(), strength[place].ravel(), bins)
        return result

    image = calco.read_image(record.image)
    cells = cells_of(image.mean(2))
    cells.shape
    return cells, cells_of, image


@app.cell(hide_code=True)
def _(cells, image, kit, np, t):
    _figure, _axes = kit.plot(4.2, 4.2)
    _axes.imshow(image, alpha=0.25)
    _strongest = cells.max()
    for (_row, _column, _bin), _value in np.ndenumerate(cells):
        _angle = (_bin + 0.5) * np.pi / 9 + np.pi / 2  # an edge runs across its gradient
        _x, _y = _column * 8 + 4, _row * 8 + 4
        _dx, _dy = 4 * np.cos(_angle), 4 * np.sin(_angle)
        _share = min(1.0, 1.6 * float(_value / _strongest))
        if _share > 0.06:
            _axes.plot([_x - _dx, _x + _dx], [_y - _dy, _y + _dy], color="black", lw=1.2, alpha=_share)
    _axes.set_axis_off()
    t.image(
        _figure,
        es="Lo que ve HOG: en cada celda, la dirección de los bordes; cuanto más oscura la raya, más fuerte",
        en="What HOG sees: in each cell, the direction of the edges; the darker the line, the stronger",
        width=420,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.window_classifier:hog")
    return


@app.cell(hide_code=True)
def _(slid, t):
    _c = slid.classifier
    t(
        es=rf"""
        ## El clasificador

        Cada ventana se lleva a {_c.size_wh[0]} × {_c.size_wh[1]} píxeles y da un vector $x$ de {len(_c.mean)} números. Sobre
        él, una regresión softmax reparte la probabilidad entre el fondo y las {len(_c.classes)} clases:

        $$p(k \mid x) = \frac{{e^{{w_k \cdot x + b_k}}}}{{\sum_j e^{{w_j \cdot x + b_j}}}}$$

        Aprendió de {_c.examples} ventanas: objetos anotados, un poco corridos y agrandados, y trozos de fondo. Aprende dos
        veces. Con lo aprendido la primera vez busca los fondos que confunde con objetos, los **negativos difíciles**, y los
        añade para la segunda.

        En {_c.held_out} ventanas de otras imágenes acierta el **{_c.accuracy:.0%}**. ¿Es mucho? Responder siempre «fondo»
        acertaría el {_c.background:.0%}. Un número solo no dice nada; hay que ponerle al lado su línea base.
        """,
        en=rf"""
        ## The classifier

        Each window is resized to {_c.size_wh[0]} × {_c.size_wh[1]} pixels and gives a vector $x$ of {len(_c.mean)} numbers. On it,
        a softmax regression divides the probability among the background and the {len(_c.classes)} classes:

        $$p(k \mid x) = \frac{{e^{{w_k \cdot x + b_k}}}}{{\sum_j e^{{w_j \cdot x + b_j}}}}$$

        It learned from {_c.examples} windows: annotated objects, slightly shifted and enlarged, and pieces of background. It
        learns twice. With what it learned first, it looks for backgrounds that it takes for objects, the **hard negatives**,
        and adds them for the second time.

        On {_c.held_out} windows of other images it is right in **{_c.accuracy:.0%}**. Is that much? Always answering
        "background" would be right in {_c.background:.0%}. A number alone says nothing; it needs its baseline beside it.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Umbral y paso

        Con el mismo clasificador, elige desde qué probabilidad una ventana cuenta como acierto, y cada cuántos píxeles
        mirar. La imagen se vuelve a recorrer con cada cambio:
        """,
        en="""
        ## Threshold and step

        With the same classifier, choose from which probability a window counts as a hit, and after how many pixels to
        look again. Each change runs over the image anew:
        """,
    )
    return


@app.cell
def _(kit, t):
    threshold = t.slider(0.3, 0.95, step=0.05, value=0.5, es="umbral", en="threshold")
    stride = t.slider(8, 48, step=8, value=16, es="paso, píxeles", en="step, pixels")
    kit.mo.hstack([threshold, stride], justify="start", wrap=True)
    return stride, threshold


@app.cell
def _(detection, image, np, slid, stride, threshold):
    from calco.detection.slide import classify, levels

    rounds, _ = levels((image.shape[1], image.shape[0]), (64, 64), stride.value, (1, 1.5))
    looked = np.concatenate([_level.boxes for _level in rounds])
    hits, _ = classify(image, looked, slid.classifier, threshold.value, lambda *_: None)
    kept = hits.select(detection.nms(hits.boxes, hits.scores, 0.3, hits.classes))
    return hits, kept, levels, looked


@app.cell(hide_code=True)
def _(annotations, detection, hits, image, kept, looked, record, t):
    truth = record.detections
    _found = detection.iou(truth.boxes, kept.boxes).max(1, initial=0) >= 0.4
    t.images(
        (
            detection.draw_detections(image, hits, annotations.classes, labels=[""] * len(hits)),
            f"{len(hits)} aciertos entre {len(looked)} ventanas",
            f"{len(hits)} hits among {len(looked)} windows",
        ),
        (
            detection.draw_detections(image, kept, annotations.classes),
            f"{len(kept)} cajas tras la supresión; {_found.sum()} de {len(truth)} objetos tienen una con IoU ≥ 0,4",
            f"{len(kept)} boxes after suppression; {_found.sum()} of {len(truth)} objects have one with IoU ≥ 0.4",
        ),
        (
            detection.draw_detections(image, truth.select(range(len(truth))), annotations.classes),
            "La anotación",
            "The annotation",
        ),
        width=300,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        - **Bajar el umbral encuentra más, y también más falsas alarmas.** No existe el umbral correcto: depende de qué
          error cuesta más. La lección 2.3 lo mide con precisión y exhaustividad.
        - **Las cajas no calzan.** La ventana es cuadrada y sus tamaños son dos; un detector moderno corrige los cuatro
          lados.
        - **Cada objeto da muchos aciertos**, y la supresión deja uno.
        - **HOG no conoce el color.** Una manzana y una naranja se parecen para él, aunque aquí ambas son «fruit». Una
          red aprende también el descriptor: ese es el *backbone* de la lección 2.3.

        ## Ejercicios

        **1.** Gira la dirección de todos los gradientes en 180°: un objeto claro sobre fondo oscuro en vez de uno
        oscuro sobre claro. ¿Qué cambia en HOG, y por qué conviene?
        """,
        en="""
        ## What it shows

        - **A lower threshold finds more, and more false alarms.** There is no correct threshold: it depends on which
          error costs more. Lesson 2.3 measures this by precision and recall.
        - **The boxes do not fit.** The window is square and has two sizes; a modern detector corrects all four sides.
        - **Each object gives many hits**, and suppression leaves one.
        - **HOG does not know colour.** An apple and an orange look alike to it, although here both are "fruit". A
          network learns the descriptor as well: this is the *backbone* of lesson 2.3.

        ## Exercises

        **1.** Turn the direction of all gradients by 180°: a bright object on a dark ground in place of a dark one on a
        bright ground. What changes in HOG, and why is this useful?
        """,
    )
    return


@app.cell(hide_code=True)
def _(cells_of, image, np, t):
    _grey = image.mean(2)
    _same = float(np.abs(cells_of(_grey) - cells_of(255 - _grey)).mean() / cells_of(_grey).mean())
    t.solution(
        es=f"""
        Casi nada: los ángulos se toman módulo $\\pi$, sin signo. `cells_of(grey)` y `cells_of(255 - grey)` difieren en promedio
        en {_same:.2%} de su valor. Conviene porque la forma de un auto es la misma, sea más claro o más oscuro que la pista.
        """,
        en=f"""
        Almost nothing: angles are taken modulo $\\pi$, without a sign. `cells_of(grey)` and `cells_of(255 - grey)` differ on
        average by {_same:.2%} of their value. It is useful because a car has the same shape whether it is brighter or darker
        than the road.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Comprueba con los controles cuántas ventanas hay con un paso de 8 y con uno de 16. ¿Por qué no son
        exactamente cuatro veces más?
        """,
        en="""
        **2.** Check with the sliders how many windows there are with a step of 8 and with one of 16. Why are they not
        exactly four times as many?
        """,
    )
    return


@app.cell(hide_code=True)
def _(levels, t):
    _counts = [
        sum(len(_level.boxes) for _level in levels((192, 192), (64, 64), _step, (1, 1.5))[0]) for _step in (8, 16)
    ]
    t.solution(
        es=f"""
        Con 8 son {_counts[0]} y con 16, {_counts[1]}: {_counts[0] / _counts[1]:.2f} veces más. En cada fila hay tantos pasos *más
        uno*, y ese uno no se duplica.
        """,
        en=f"""
        With 8 there are {_counts[0]}, with 16 {_counts[1]}: {_counts[0] / _counts[1]:.2f} times as many. A row has as many steps
        *plus one*, and this one is not doubled.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        **3.** ¿Cuántos números describen una ventana de 64 × 64? Cuenta las celdas de 8 × 8 píxeles, los bloques de 2 × 2 celdas
        que se superponen de a una celda, y las nueve direcciones.
        """,
        en=r"""
        **3.** How many numbers describe a window of 64 × 64? Count the cells of 8 × 8 pixels, the blocks of 2 × 2 cells that
        overlap by one cell, and the nine directions.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        Hay $8 \times 8$ celdas y $7 \times 7$ bloques. Cada bloque guarda $4 \cdot 9 = 36$ números: $49 \cdot 36 = 1764$, los
        del vector $x$ de arriba. Cada celda entra hasta en cuatro bloques, cada vez con otra normalización.
        """,
        en=r"""
        There are $8 \times 8$ cells and $7 \times 7$ blocks. A block keeps $4 \cdot 9 = 36$ numbers: $49 \cdot 36 = 1764$, those
        of the vector $x$ above. A cell is in up to four blocks, each time normalised in another way.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
