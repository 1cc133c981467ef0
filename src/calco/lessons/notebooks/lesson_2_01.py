import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.1 · La ventana deslizante y la caja delimitadora · The sliding window and the bounding box",
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
        "2.1",
        es="""
        Un clasificador dice *qué* hay en un recorte. Si lo pasas por todos los recortes de una imagen, también sabes
        *dónde*. Así empezó la detección: una ventana que se desliza. Mueve el tamaño y el paso, y cuenta cuántas veces
        hay que mirar.
        """,
        en="""
        A classifier says *what* a crop shows. Run it on every crop of an image, and you also know *where*. This is how
        detection began: with a window that slides. Change its size and its step, and count how often one has to look.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():
    import numpy as np

    import calco
    from calco import detection
    from calco.annotations import Detections, read_annotations
    from calco.lessons.scenes import scenes

    folder = scenes()  # drawings from OpenMoji, CC BY-SA 4.0
    annotations = read_annotations(folder / "annotations", folder / "images")
    record = next(_r for _r in annotations.records if _r.name == "train/003@2.png")
    image, truth = calco.read_image(record.image), record.detections
    height, width = image.shape[:2]
    return Detections, annotations, detection, height, image, np, truth, width


@app.cell
def _(kit, t):
    window = t.slider(24, 144, step=8, value=72, es="ventana, píxeles", en="window, pixels")
    step = t.slider(4, 64, step=4, value=24, es="paso, píxeles", en="step, pixels")
    kit.mo.hstack([window, step], justify="start", wrap=True)
    return step, window


@app.cell
def _(detection, height, np, step, truth, width, window):
    def windows_of(size_wh, side, step):
        """Return the left, top, right and bottom of each window, row by row."""
        lefts = range(0, size_wh[0] - side + 1, step)
        tops = range(0, size_wh[1] - side + 1, step)
        return np.array([(left, top, left + side, top + side) for top in tops for left in lefts], np.float32)

    windows = windows_of((width, height), window.value, step.value)
    overlaps = detection.iou(windows, truth.boxes)
    best = overlaps.max(0)
    return best, overlaps, windows, windows_of


@app.cell(hide_code=True)
def _(Detections, annotations, best, detection, image, kit, overlaps, t, truth, window, windows):
    _chosen = Detections(boxes=windows[overlaps.argmax(0)], classes=truth.classes)
    _figure, _axes = kit.plot(3.4, 3.4)
    _axes.imshow(image)
    for _left, _top, _right, _bottom in windows:
        _axes.plot([_left, _right, _right, _left, _left], [_top, _top, _bottom, _bottom, _top], color="white", lw=0.5)
    _axes.set_axis_off()
    _labels = [f"IoU {_share:.2f}" for _share in best]
    t.images(
        (
            _figure,
            f"{len(windows)} ventanas de {window.value} × {window.value}",
            f"{len(windows)} windows of {window.value} × {window.value}",
        ),
        (
            detection.draw_detections(image, _chosen, annotations.classes, labels=_labels),
            "De todas ellas, la que mejor cae sobre cada objeto",
            "Of all of them, the one that fits each object best",
        ),
        width=330,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Con un paso grande hay pocas ventanas, y ninguna cae bien sobre el objeto. Con uno pequeño alguna cae bien, pero
        hay que clasificar cientos. Y un solo tamaño no sirve para objetos de varios tamaños. Esa tensión explica casi
        toda la historia de los detectores.

        ## Cuatro números, tres costumbres

        Una **caja delimitadora** es el menor rectángulo, sin girar, que encierra el objeto. Se escribe con cuatro
        números, pero no todos escriben los mismos:

        - `xyxy`: izquierda, arriba, derecha, abajo, en píxeles. Así las escriben Pascal VOC y Calco.
        - `xywh`: izquierda, arriba, ancho, alto, en píxeles. Así las escribe COCO.
        - `cxcywh` relativo: centro, ancho y alto, divididos entre el ancho y el alto de la imagen. Así las escribe
          YOLO.

        El origen está arriba a la izquierda, y el eje $y$ apunta hacia abajo. Arrastra la caja y mira los tres:
        """,
        en="""
        With a large step there are few windows, and none fits the object. With a small one some window fits, but
        hundreds must be classified. And a single size does not suit objects of several sizes. This tension explains
        most of the history of detectors.

        ## Four numbers, three customs

        A **bounding box** is the smallest upright rectangle around an object. Four numbers describe it, but not
        everybody writes the same four:

        - `xyxy`: left, top, right, bottom, in pixels. Pascal VOC and Calco write it so.
        - `xywh`: left, top, width, height, in pixels. COCO writes it so.
        - relative `cxcywh`: centre, width and height, divided by the width and height of the image. YOLO writes it so.

        The origin is in the upper left corner, and the $y$ axis points down. Drag the box and watch all three:
        """,
    )
    return


@app.cell
def _(image, kit, truth):
    dragged = kit.boxes([truth.boxes[0].tolist()], labels=truth.classes[:1], image=image)
    dragged
    return (dragged,)


@app.cell
def _():
    def xyxy_to_xywh(box):
        left, top, right, bottom = box
        return [left, top, right - left, bottom - top]

    def xyxy_to_relative(box, size_wh):
        left, top, right, bottom = box
        return [
            (left + right) / 2 / size_wh[0],
            (top + bottom) / 2 / size_wh[1],
            (right - left) / size_wh[0],
            (bottom - top) / size_wh[1],
        ]

    return xyxy_to_relative, xyxy_to_xywh


@app.cell
def _(dragged, height, t, width, xyxy_to_relative, xyxy_to_xywh):
    _box = dragged.value["boxes"][0]
    t.table(
        [
            {
                t.pick("formato", "format"): _name,
                t.pick("números", "numbers"): "`" + " ".join(f"{_x:.4g}" for _x in _numbers) + "`",
            }
            for _name, _numbers in (
                ("xyxy (VOC)", _box),
                ("xywh (COCO)", xyxy_to_xywh(_box)),
                ("cxcywh (YOLO)", xyxy_to_relative(_box, (width, height))),
            )
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Confundir dos formatos no da ningún error: da cajas corridas, y una red que no aprende. Por eso los nombres
        llevan el formato (`xyxy`), y por eso lo primero que se hace con un conjunto de datos es dibujarlo (lección
        2.10).

        ## ¿Cuántas ventanas?

        En una imagen de $W \times H$ píxeles, una ventana de lado $w$ que avanza con paso $s$ cabe

        $$n = \left(\left\lfloor \frac{W - w}{s} \right\rfloor + 1\right)\left(\left\lfloor \frac{H - w}{s} \right\rfloor + 1\right)$$

        veces. La mitad del paso da unas cuatro veces más ventanas.
        """,
        en=r"""
        To confuse two formats gives no error: it gives shifted boxes, and a network that does not learn. This is why
        names carry the format (`xyxy`), and why the first thing to do with a data set is to draw it (lesson 2.10).

        ## How many windows?

        In an image of $W \times H$ pixels, a window of side $w$ that moves by a step $s$ fits

        $$n = \left(\left\lfloor \frac{W - w}{s} \right\rfloor + 1\right)\left(\left\lfloor \frac{H - w}{s} \right\rfloor + 1\right)$$

        times. Half the step gives about four times as many windows.
        """,
    )
    return


@app.cell
def _(height, step, width, window, windows):
    def count(size_wh, side, step):
        return ((size_wh[0] - side) // step + 1) * ((size_wh[1] - side) // step + 1)

    count((width, height), window.value, step.value), len(windows)
    return (count,)


@app.cell
def _(count, detection, height, kit, np, t, truth, width, window, windows_of):
    _steps = np.arange(4, 65, 4)
    _counts = [count((width, height), window.value, int(_s)) for _s in _steps]
    _fits = [
        detection.iou(windows_of((width, height), window.value, int(_s)), truth.boxes).max(0).mean() for _s in _steps
    ]
    _figure, (_left, _right) = kit.plot(8, 2.9, columns=2)
    _left.semilogy(_steps, _counts, "o-")
    _left.set(xlabel=t.pick("paso, píxeles", "step, pixels"), ylabel=t.pick("ventanas", "windows"))
    _right.plot(_steps, _fits, "o-", color="tab:orange")
    _right.axhline(0.5, ls=":", color="grey")
    _right.set(
        xlabel=t.pick("paso, píxeles", "step, pixels"),
        ylabel=t.pick("mejor IoU, promedio", "best IoU, mean"),
        ylim=(0, 1),
    )
    t.image(
        _figure,
        es=f"Lo que cuesta y lo que da un paso, con ventanas de {window.value} píxeles",
        en=f"What a step costs and what it gives, with windows of {window.value} pixels",
        width=640,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La pirámide

        Para encontrar objetos de varios tamaños hay dos caminos que son el mismo: agrandar la ventana, o dejarla fija y
        achicar la imagen. El segundo se llama **pirámide de imágenes**, y conviene porque el clasificador recibe
        siempre recortes del mismo tamaño. Si cada nivel es $r < 1$ veces el anterior y el paso es fijo, la imagen
        pierde área como $r^2$, y el total queda acotado por una serie geométrica:

        $$n_0 + n_1 + n_2 + \dots \approx n_0\,(1 + r^2 + r^4 + \dots) = \frac{n_0}{1 - r^2}$$

        Con $r = 1/2$, todos los niveles juntos cuestan apenas un tercio más que el primero. La biblioteca agranda la
        ventana:
        """,
        en=r"""
        ## The pyramid

        To find objects of several sizes there are two ways, which are one: enlarge the window, or keep it and shrink
        the image. The second is called an **image pyramid**. It is convenient because the classifier always receives
        crops of one size. If each level is $r < 1$ times the one before and the step stays, the image loses area as
        $r^2$, and a geometric series bounds the total:

        $$n_0 + n_1 + n_2 + \dots \approx n_0\,(1 + r^2 + r^4 + \dots) = \frac{n_0}{1 - r^2}$$

        With $r = 1/2$, all levels together cost only a third more than the first. The library enlarges the window:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.slide:levels")
    return


@app.cell
def _(detection, height, np, truth, width):
    from calco.detection.slide import levels

    pyramid, _too_large = levels((width, height), (48, 48), 12, (1, 1.5, 2, 3))
    all_windows = np.concatenate([_level.boxes for _level in pyramid])
    one_size = detection.iou(pyramid[0].boxes, truth.boxes).max(0)
    every_size = detection.iou(all_windows, truth.boxes).max(0)
    return all_windows, every_size, one_size, pyramid


@app.cell(hide_code=True)
def _(all_windows, detection, every_size, height, kit, one_size, pyramid, t, truth, width):
    kit.mo.vstack(
        [
            t.table(
                [
                    {
                        t.pick("ventana", "window"): f"{_level.size_wh[0]} × {_level.size_wh[1]}",
                        t.pick("paso", "step"): _level.step,
                        t.pick("ventanas", "windows"): len(_level.boxes),
                        t.pick("mejor IoU con cada objeto", "best IoU with each object"): " · ".join(
                            f"{_share:.2f}" for _share in detection.iou(_level.boxes, truth.boxes).max(0)
                        ),
                    }
                    for _level in pyramid
                ]
            ),
            t(
                es=f"""
                La mejor IoU sube en promedio de **{one_size.mean():.2f}** con la ventana de 48 píxeles a
                **{every_size.mean():.2f}** con los cuatro tamaños. El precio: {len(all_windows)} ventanas en vez de
                {len(pyramid[0].boxes)}, en una imagen de apenas {width} × {height} píxeles.
                """,
                en=f"""
                The best IoU rises on average from **{one_size.mean():.2f}** with the window of 48 pixels to
                **{every_size.mean():.2f}** with all four sizes. The price: {len(all_windows)} windows instead of
                {len(pyramid[0].boxes)}, in an image of only {width} × {height} pixels.
                """,
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        - **Casi todo es fondo.** De cientos de ventanas, solo unas pocas caen sobre un objeto. Ese desequilibrio vuelve
          en la lección 2.6: la *pérdida focal* existe por él.
        - **Un objeto despierta varias ventanas.** Todas las que lo cubren más o menos bien lo reconocen; quedarse con
          una es la *supresión de no máximos* (lección 2.3).
        - **Una ventana cuadrada no calza en un objeto alargado.** Los detectores modernos *corrigen* la ventana: la red
          predice cuánto mover cada lado.
        - **Ventanas vecinas comparten casi todos sus píxeles**, y el clasificador los mira de nuevo cada vez. Una
          convolución comparte ese trabajo: un mapa de características es una ventana deslizante calculada de un solo
          golpe.

        ## Ejercicios

        **1.** Una foto de 1920 × 1080, una ventana de 128 y un paso de 8. ¿Cuántas ventanas? Si el clasificador tarda 1
        ms por ventana, ¿cuánto demora la foto?
        """,
        en="""
        ## What it shows

        - **Almost everything is background.** Of hundreds of windows, only a few lie on an object. This imbalance comes
          back in lesson 2.6: the *focal loss* exists because of it.
        - **One object wakes several windows.** All that cover it more or less recognise it; keeping one of them is
          *non-maximum suppression* (lesson 2.3).
        - **A square window does not fit a long object.** Modern detectors *correct* the window: the network predicts by
          how much to move each side.
        - **Neighbouring windows share most of their pixels**, and the classifier looks at them again each time. A
          convolution shares this work: a feature map is a sliding window that is computed in one go.

        ## Exercises

        **1.** A photograph of 1920 × 1080, a window of 128 and a step of 8. How many windows? If the classifier takes 1
        ms for each, how long does the photograph take?
        """,
    )
    return


@app.cell(hide_code=True)
def _(count, t):
    many = count((1920, 1080), 128, 8)
    t.solution(
        es=f"""
        $(\\lfloor 1792/8 \\rfloor + 1)(\\lfloor 952/8 \\rfloor + 1) = 225 \\cdot 120 = {many}$ ventanas: {many / 1000:.0f}
        segundos por foto, y con un solo tamaño.
        """,
        en=f"""
        $(\\lfloor 1792/8 \\rfloor + 1)(\\lfloor 952/8 \\rfloor + 1) = 225 \\cdot 120 = {many}$ windows: {many / 1000:.0f}
        seconds for one photograph, and with a single size.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Escribe la función inversa de `xyxy_to_relative` y comprueba que ida y vuelta dan la misma caja.
        """,
        en="""
        **2.** Write the inverse of `xyxy_to_relative`, and check that there and back gives the same box.
        """,
    )
    return


@app.cell(hide_code=True)
def _(height, np, t, truth, width, xyxy_to_relative):
    def relative_to_xyxy(numbers, size_wh):
        across, down, wide, high = np.array(numbers) * np.tile(size_wh, 2)
        return [across - wide / 2, down - high / 2, across + wide / 2, down + high / 2]

    _back = relative_to_xyxy(xyxy_to_relative(truth.boxes[0], (width, height)), (width, height))
    t.solution(
        es=f"""
        ```python
        def relative_to_xyxy(numbers, size_wh):
            across, down, wide, high = np.array(numbers) * np.tile(size_wh, 2)
            return [across - wide / 2, down - high / 2, across + wide / 2, down + high / 2]
        ```

        La primera caja, {truth.boxes[0].tolist()}, vuelve como {[round(float(_x), 3) for _x in _back]}.
        """,
        en=f"""
        ```python
        def relative_to_xyxy(numbers, size_wh):
            across, down, wide, high = np.array(numbers) * np.tile(size_wh, 2)
            return [across - wide / 2, down - high / 2, across + wide / 2, down + high / 2]
        ```

        The first box, {truth.boxes[0].tolist()}, comes back as {[round(float(_x), 3) for _x in _back]}.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Un objeto cuadrado tiene el mismo tamaño que la ventana. En el peor caso, con un paso de la mitad del
        lado, queda corrido un cuarto del lado en cada dirección. ¿Cuánto vale la IoU? ¿Alcanza para contar como acierto
        con umbral 0,5?
        """,
        en="""
        **3.** A square object has the size of the window. In the worst case, with a step of half the side, it is
        shifted by a quarter of the side in each direction. What is IoU? Is it enough to count as right at the threshold
        0.5?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        La intersección es $\frac34 \cdot \frac34 = \frac{9}{16}$ del área y la unión $2 - \frac{9}{16} =
        \frac{23}{16}$: la IoU es $9/23 \approx 0{,}39$. No alcanza. Por eso la ventana pura necesita pasos pequeños, y
        por eso los detectores aprenden a corregir la caja.
        """,
        en=r"""
        The intersection is $\frac34 \cdot \frac34 = \frac{9}{16}$ of the area, and the union $2 - \frac{9}{16} =
        \frac{23}{16}$: IoU is $9/23 \approx 0.39$. It is not enough. So plain windows need small steps, and detectors
        learn to correct the box.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
