import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.9 · Explorar el conjunto de datos · Exploring the data set",
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
        "2.9",
        es="""
        Antes de entrenar, mira. ¿Cuántos objetos hay de cada clase, de qué tamaño son y dónde están? Elige una clase y
        mira su mapa de calor.
        """,
        en="""
        Look before you train. How many objects are there of each class, how large are they, and where? Choose a class
        and see its heat map.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():
    import numpy as np

    from calco import detection
    from calco.annotations import read_annotations
    from calco.lessons.scenes import data_folder, scenes

    folder = scenes()  # drawings from OpenMoji, CC BY-SA 4.0
    annotations = read_annotations(folder / "annotations", folder / "images")
    records = annotations.records
    boxes = np.concatenate([_r.detections.boxes for _r in records])
    labels = np.array([_name for _r in records for _name in _r.detections.classes])
    return annotations, boxes, data_folder, detection, folder, labels, np, records


@app.cell
def _(annotations, t):
    which = t.dropdown(
        {"": ("todas", "all"), **{_name: (_name, _name) for _name in annotations.classes}},
        value="",
        es="clase",
        en="class",
    )
    which
    return (which,)


@app.cell
def _(boxes, labels, np, which):
    chosen = boxes[labels == which.value] if which.value else boxes
    heat = np.zeros((192, 192), np.int64)
    for _left, _top, _right, _bottom in chosen.astype(int):
        heat[_top:_bottom, _left:_right] += 1
    sides = np.sqrt((chosen[:, 2:] - chosen[:, :2]).prod(1))  # the side of a square of the same area
    return chosen, heat, sides


@app.cell(hide_code=True)
def _(chosen, heat, kit, np, sides, t):
    _figure, (_map, _sizes) = kit.plot(8, 3.2, columns=2)
    _figure.colorbar(_map.imshow(heat, cmap="magma"), ax=_map, label=t.pick("cajas encima", "boxes on it"))
    _map.grid(False)
    _sizes.hist(sides, bins=np.arange(16, 120, 4), color="tab:orange")
    for _edge in (32, 96):
        _sizes.axvline(_edge, ls=":", color="grey")
    _sizes.set(xlabel=t.pick("√área, píxeles", "√area, pixels"), ylabel=t.pick("cajas", "boxes"))
    t.image(
        _figure,
        es=f"{len(chosen)} cajas: dónde están y qué tamaño tienen. Las líneas separan lo pequeño, lo mediano y lo grande de COCO",
        en=f"{len(chosen)} boxes: where they are and how large. The lines separate COCO's small, medium and large",
        width=680,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Contar

        La tabla más útil es también la más simple. Si una clase tiene diez veces menos objetos que otra, la red la verá
        diez veces menos.
        """,
        en="""
        ## Counting

        The most useful table is also the simplest. If a class has ten times fewer objects than another, the network
        sees it ten times less often.
        """,
    )
    return


@app.cell
def _(annotations, boxes, labels, np, records):
    counts = {
        name: {
            "boxes": int((labels == name).sum()),
            "images": sum(name in record.detections.classes for record in records),
            "median side": float(np.median(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1))[labels == name])),
        }
        for name in annotations.classes
    }
    per_image = np.bincount([len(record.detections) for record in records])
    return counts, per_image


@app.cell(hide_code=True)
def _(boxes, counts, kit, per_image, records, t):
    _figure, _axes = kit.plot(5, 2.6)
    _axes.bar(range(len(per_image)), per_image, color="tab:blue")
    _axes.set(xlabel=t.pick("objetos en la imagen", "objects in the image"), ylabel=t.pick("imágenes", "images"))
    kit.mo.vstack(
        [
            t.table(
                [
                    {
                        t.pick("clase", "class"): _name,
                        t.pick("cajas", "boxes"): _row["boxes"],
                        t.pick("imágenes", "images"): _row["images"],
                        t.pick("lado mediano, píxeles", "median side, pixels"): _row["median side"],
                    }
                    for _name, _row in counts.items()
                ]
            ),
            t.image(
                _figure,
                es=f"{len(records)} imágenes, {len(boxes)} objetos: {len(boxes) / len(records):.2f} por imagen",
                en=f"{len(records)} images, {len(boxes)} objects: {len(boxes) / len(records):.2f} for each image",
                width=460,
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## ¿Los verá el detector?

        Un detector lleva cada imagen al tamaño con que trabaja. Un objeto de lado $b$ en una imagen de lado $L$ se
        convierte en uno de $b\,S/L$ píxeles, si el detector trabaja a $S$. Con menos de unos 8 píxeles apenas queda qué
        reconocer. Elige $S$, e imagina que las escenas fueran de una cámara de alta resolución, cuyos objetos ocupan
        una parte menor de la imagen:
        """,
        en=r"""
        ## Will the detector see them?

        A detector resizes each image to the size at which it works. An object of side $b$ in an image of side $L$
        becomes one of $b\,S/L$ pixels, if the detector works at $S$. With less than about 8 pixels hardly anything is
        left to recognise. Choose $S$, and imagine that the scenes came from a camera of high resolution, whose objects
        fill a smaller part of the image:
        """,
    )
    return


@app.cell
def _(kit, t):
    work = t.slider(64, 1024, step=64, value=320, es="lado del detector, píxeles", en="detector's side, pixels")
    farther = t.slider(1, 30, value=12, es="objetos … veces más pequeños", en="objects … times smaller")
    kit.mo.hstack([work, farther], justify="start", wrap=True)
    return farther, work


@app.cell
def _(boxes, farther, work):
    shorter = (boxes[:, 2:] - boxes[:, :2]).min(1) * work.value / 192 / farther.value
    visible = float((shorter >= 8).mean())
    return shorter, visible


@app.cell(hide_code=True)
def _(np, shorter, t, visible, work):
    t(
        es=f"""
        A {work.value} píxeles, el **{visible:.0%}** de los objetos mide 8 píxeles o más por su lado corto; la mediana es
        {np.median(shorter):.1f}. Duplicar el lado del detector cuesta cuatro veces más tiempo; la otra salida es cortar la imagen en
        tajadas (`calco detect predict --slice`).
        """,
        en=f"""
        At {work.value} pixels, **{visible:.0%}** of the objects have 8 pixels or more on their shorter side; the median is
        {np.median(shorter):.1f}. Twice the detector's side costs four times as much time; the other way out is to cut the image into
        slices (`calco detect predict --slice`).
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Con la biblioteca

        `calco.detection.explore` hace estas cuentas y otras, y busca rarezas: objetos marcados dos veces, dos clases
        sobre un objeto, cajas diminutas, muy delgadas o del tamaño de toda la imagen. Escribe una página
        (`explore.html`) que puedes compartir, y los mismos números como JSON.
        """,
        en="""
        ## With the library

        `calco.detection.explore` does these sums and more, and looks for oddities: objects that are marked twice, two
        classes on one object, boxes that are tiny, very thin, or as large as the image. It writes a page
        (`explore.html`) to share, and the same numbers as JSON.
        """,
    )
    return


@app.cell
def _(data_folder, detection, folder):
    explored = detection.explore(detection.ExploreConfig(images=str(folder), out=str(data_folder() / "explore")))
    print(*explored.verdict().split(". "), sep=".\n")
    return (explored,)


@app.cell(hide_code=True)
def _(counts, explored, kit, t):
    _rows = [
        {
            t.pick("rareza", "oddity"): _odd.kind,
            t.pick("imagen", "image"): _odd.key,
            t.pick("qué se ve", "what is there"): _odd.words,
        }
        for _odd in explored.found.odd[:6]
    ]
    _agrees = all(explored.found.by_class[_name].boxes == _row["boxes"] for _name, _row in counts.items())
    kit.mo.vstack(
        [
            t.table(_rows) if _rows else t(es="Ninguna rareza.", en="No oddities."),
            t(
                es=f"Sus cuentas por clase {'coinciden' if _agrees else 'no coinciden'} con las nuestras.",
                en=f"Its counts for each class {'agree' if _agrees else 'do not agree'} with ours.",
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        - **El mapa de calor delata el sesgo de lugar.** Aquí los objetos caen por todos lados, con menos peso en los
          bordes. Si en tus fotos están siempre al centro, el detector aprenderá que en las esquinas no hay nada; el
          aumento de datos (lección 2.11) los mueve.
        - **Las imágenes sin objetos también enseñan**: son fondo seguro.
        - **Una rareza no es un error.** El programa señala; la decisión es de quien mira la imagen.

        ## Ejercicios

        **1.** Un detector que siempre dijera la caja promedio, ¿qué IoU lograría con los objetos de este conjunto?
        """,
        en="""
        ## What it shows

        - **The heat map gives away a bias of place.** Here objects fall everywhere, less so at the borders. If they are
          always in the middle of your photographs, the detector learns that corners are empty; data augmentation
          (lesson 2.11) moves them.
        - **Images without objects teach as well**: they are certain background.
        - **Unusual does not mean wrong.** The program flags it; you look at the image and decide.

        ## Exercises

        **1.** A detector that always answers the mean box: which IoU would it reach with the objects of this set?
        """,
    )
    return


@app.cell(hide_code=True)
def _(boxes, detection, t):
    _mean_iou = detection.iou(boxes.mean(0)[None], boxes)[0]
    t.solution(
        es=f"""`detection.iou(boxes.mean(0)[None], boxes)` da en promedio {_mean_iou.mean():.2f}, y 0,5 o más en el {(_mean_iou >= 0.5).mean():.0%}
        de los objetos. Es la línea base que un detector debe superar.""",
        en=f"""`detection.iou(boxes.mean(0)[None], boxes)` gives {_mean_iou.mean():.2f} on average, and 0.5 or more for {(_mean_iou >= 0.5).mean():.0%}
        of the objects. It is the baseline that a detector must beat.""",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Calcula la proporción ancho/alto de cada clase. ¿Cuál se aparta más de 1? ¿Qué ventana le convendría?
        """,
        en="""
        **2.** Compute the ratio of width to height of each class. Which one is farthest from 1? Which window would suit
        it?
        """,
    )
    return


@app.cell(hide_code=True)
def _(annotations, boxes, labels, np, t):
    _ratios = {
        _name: float(np.median(((boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]))[labels == _name]))
        for _name in annotations.classes
    }
    _widest = max(_ratios, key=lambda _name: abs(np.log(_ratios[_name])))
    _list = "; ".join(f"{_name} {_value:.2f}" for _name, _value in _ratios.items())
    t.solution(
        es=f"Medianas: {_list}. La que más se aparta es `{_widest}`; le convendría una ventana {_ratios[_widest]:.1f} veces tan ancha como alta.",
        en=f"Medians: {_list}. `{_widest}` is the farthest; a window {_ratios[_widest]:.1f} times as wide as high would suit it.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        **3.** Tus fotos miden 4000 × 3000 y el detector trabaja a 320. ¿Qué lado debe tener un objeto en la foto para que le queden
        8 píxeles? ¿Y si la foto se corta en tajadas de 1000 × 1000?
        """,
        en=r"""
        **3.** Your photographs have 4000 × 3000 pixels and the detector works at 320. Which side must an object have in the
        photograph to keep 8 pixels? And if the photograph is cut into slices of 1000 × 1000?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $8 \cdot 4000/320 = 100$ píxeles; con tajadas, $8 \cdot 1000/320 = 25$. El precio: al menos $4 \cdot 3 = 12$ pasadas en
        vez de una, y algunas más, porque las tajadas se superponen para no partir objetos.
        """,
        en=r"""
        $8 \cdot 4000/320 = 100$ pixels; with slices, $8 \cdot 1000/320 = 25$. The price: at least $4 \cdot 3 = 12$ passes in
        place of one, and some more, since slices overlap so as not to cut objects.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
