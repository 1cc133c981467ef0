import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.10 · Dibujar las cajas · Drawing the boxes",
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
        "2.10",
        es="""
        Dibujar las cajas es la prueba más barata de que el conjunto de datos está bien cargado. Elige una escena, y
        equivócate de formato a propósito.
        """,
        en="""
        Drawing the boxes is the cheapest test that a data set was loaded correctly. Choose a scene, and mistake the
        format on purpose.
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
    records = [_r for _r in annotations.records if len(_r.detections) >= 2]
    return Detections, annotations, calco, detection, np, records


@app.cell
def _(kit, records, t):
    number = t.slider(0, len(records) - 1, value=14, es="escena", en="scene")
    wrong = t.checkbox(es="leer xywh como si fuera xyxy", en="read xywh as if it were xyxy")
    kit.mo.hstack([number, wrong], justify="start", gap=2, wrap=True)
    return number, wrong


@app.cell
def _(calco, np, number, records, wrong):
    image = calco.read_image(records[number.value].image)
    truth = records[number.value].detections
    boxes = truth.boxes.astype(int)
    if wrong.value:
        boxes = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])  # width and height in place of right and bottom

    def with_box(picture, box, colour, thickness=2):
        """Return a copy of an H x W x 3 image with the frame of one box."""
        left, top, right, bottom = (int(value) for value in np.clip(box, 0, [picture.shape[1], picture.shape[0]] * 2))
        left, right = min(left, right), max(left, right)
        top, bottom = min(top, bottom), max(top, bottom)
        result = picture.copy()
        result[top : top + thickness, left:right] = colour
        result[max(bottom - thickness, 0) : bottom, left:right] = colour
        result[top:bottom, left : left + thickness] = colour
        result[top:bottom, max(right - thickness, 0) : right] = colour
        return result

    colours = {"animal": (255, 149, 0), "car": (0, 212, 255), "fruit": (255, 45, 149)}
    drawn = image
    for _name, _box in zip(truth.classes, boxes, strict=True):
        drawn = with_box(drawn, _box, colours[_name])
    return drawn, image, truth


@app.cell(hide_code=True)
def _(Detections, annotations, detection, drawn, image, t, truth):
    t.images(
        (drawn, "A mano, con un bucle", "By hand, with a loop"),
        (
            detection.draw_detections(image, Detections(boxes=truth.boxes, classes=truth.classes), annotations.classes),
            "draw_detections",
            "draw_detections",
        ),
        width=330,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## A mano

        Una caja son cuatro franjas de píxeles. En un arreglo `image[y, x]` **primero va la fila**: la $y$. Y el borde
        derecho no se incluye: una caja de 10 a 20 ocupa las columnas 10 a 19, diez en total. Esas dos confusiones, y la
        de `xywh` con `xyxy`, no dan error. Se ven.

        ## Con la biblioteca

        `draw_detections` agrega lo que al bucle le falta: un reborde oscuro, para que una caja naranja se vea sobre una
        naranja; grosor y letra según el tamaño de la imagen; un color fijo por clase; etiquetas que se evitan entre sí,
        y las máscaras, si las hay.
        """,
        en="""
        ## By hand

        A box is four strips of pixels. In an array `image[y, x]` **the row comes first**: the $y$. And the right edge
        is excluded: a box from 10 to 20 covers columns 10 to 19, ten of them. These two confusions, and that of `xywh`
        with `xyxy`, give no error. They show.

        ## With the library

        `draw_detections` adds what the loop lacks: a dark rim, so that an orange box shows on an orange; lines and
        letters that suit the size of the image; one colour for each class; labels that avoid each other, and masks, if
        there are any.
        """,
    )
    return


@app.cell
def _(kit, t):
    least = t.slider(0, 1, step=0.05, value=0.3, es="umbral de puntaje", en="score threshold")
    share = t.slider(0.5, 2.5, step=0.25, value=1, es="tamaño de las letras", en="size of the letters")
    kit.mo.hstack([least, share], justify="start", wrap=True)
    return least, share


@app.cell
def _(Detections, least, np, number, truth):
    rng = np.random.default_rng(number.value)  # a simulated detector: the annotated boxes, shaken, and two false ones
    _shaken = truth.boxes + rng.normal(0, 4, truth.boxes.shape)
    _corners = rng.uniform(0, 130, (2, 2))
    guessed = Detections(
        boxes=np.concatenate([_shaken, np.hstack([_corners, _corners + 50])]).clip(0, 192).astype(np.float32),
        classes=(*truth.classes, "car", "fruit"),
        scores=np.concatenate([rng.uniform(0.6, 1, len(truth)), rng.uniform(0.1, 0.5, 2)]).astype(np.float32),
    )
    shown = guessed.select(np.flatnonzero(guessed.scores >= least.value))
    return guessed, shown


@app.cell(hide_code=True)
def _(annotations, detection, guessed, image, least, share, shown, t, truth):
    t.images(
        (
            detection.draw_detections(image, shown, annotations.classes, share=share.value),
            f"{len(shown)} de {len(guessed)} detecciones tienen puntaje {least.value:.2f} o más",
            f"{len(shown)} of {len(guessed)} detections have a score of {least.value:.2f} or more",
        ),
        (
            detection.draw_detections(image, truth, annotations.classes),
            "Con las máscaras anotadas",
            "With the annotated masks",
        ),
        width=330,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.drawing:Drawer.__call__")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Marca la casilla de arriba. ¿Por qué algunas cajas casi parecen correctas?
        """,
        en="""
        ## Exercises

        **1.** Tick the box above. Why do some boxes look almost right?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        Si el objeto empieza cerca del origen, el ancho y el borde derecho casi coinciden: $x_2 = x_1 + w \approx w$.
        Con objetos lejos de la esquina el error salta a la vista. Por eso se dibujan *varias* imágenes, y no solo la
        primera.
        """,
        en=r"""
        If an object begins near the origin, its width and its right edge are almost the same: $x_2 = x_1 + w \approx
        w$. For objects far from the corner the error is obvious. So draw *several* images, not the first one alone.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Haz un mosaico con las cuatro primeras escenas y sus cajas, usando solo NumPy y `draw_detections`.
        """,
        en="""
        **2.** Make a mosaic of the first four scenes with their boxes, with NumPy and `draw_detections` alone.
        """,
    )
    return


@app.cell(hide_code=True)
def _(annotations, calco, detection, kit, np, records, t):
    _four = [
        detection.draw_detections(calco.read_image(_r.image), _r.detections, annotations.classes) for _r in records[:4]
    ]
    _mosaic = np.vstack([np.hstack(_four[:2]), np.hstack(_four[2:])])
    kit.mo.accordion(
        {
            t.pick("Solución", "Solution"): kit.mo.vstack(
                [
                    kit.mo.md("`np.vstack([np.hstack(four[:2]), np.hstack(four[2:])])`"),
                    t.image(_mosaic, es="Cuatro escenas con sus cajas", en="Four scenes with their boxes", width=384),
                ]
            )
        }
    )
    return


if __name__ == "__main__":
    app.run()
