import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 1.1 · ¿Qué es la visión por computadora? · What is computer vision?",
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
        "1.1",
        es="""
        Una misma escena, cinco preguntas: ¿qué hay?, ¿dónde está?, ¿qué píxeles ocupa?, ¿cómo sería de otra manera?,
        ¿adónde se mueve? Cada pregunta es una tarea de la visión por computadora. En este curso las responderás todas.
        """,
        en="""
        One scene, five questions: what is there? Where is it? Which pixels does it cover? What would it look like in
        another way? Where is it going? Each question is a task of computer vision. In this course you will answer them
        all.
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

    folder = scenes()
    annotations = read_annotations(folder / "annotations", folder / "images")
    record = next(_r for _r in annotations.records if _r.name == "train/003@2.png")
    image = calco.read_image(record.image)
    truth = record.detections
    outlines = truth.outlines
    only_boxes = Detections(boxes=truth.boxes, classes=truth.classes)

    def painted(masks, colours):
        shown = image.astype(np.float32) * 0.35
        for each, colour in zip(masks, colours[: len(masks)], strict=True):
            shown[each.mask] = 0.35 * image[each.mask] + 0.65 * np.array(colour)
        return shown.astype(np.uint8)

    def grey_of(picture):
        return np.rint(picture.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)).astype(np.uint8)

    class_colours = {"animal": (255, 149, 0), "car": (0, 212, 255), "fruit": (255, 45, 149)}
    object_colours = [(255, 149, 0), (0, 212, 255), (255, 45, 149), (124, 252, 0)]
    return (
        annotations,
        calco,
        class_colours,
        detection,
        grey_of,
        image,
        np,
        object_colours,
        only_boxes,
        outlines,
        painted,
        truth,
    )


@app.cell(hide_code=True)
def _(annotations, detection, grey_of, image, object_colours, only_boxes, outlines, painted, t, truth):
    _there = ", ".join(sorted(set(truth.classes)))
    t.images(
        (image, f"Clasificación: {_there}", f"Classification: {_there}"),
        (
            detection.draw_detections(image, only_boxes, annotations.classes),
            f"Detección: {len(truth)} cajas",
            f"Detection: {len(truth)} boxes",
        ),
        (painted(outlines, object_colours), "Segmentación: un color por objeto", "Segmentation: one colour per object"),
        (grey_of(image), "Traducción: de color a gris…", "Translation: from colour to grey…"),
        (image, "…y de gris a color, que es lo difícil", "…and from grey to colour, the hard way round"),
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        *Las escenas del curso las fabrica la propia biblioteca: pega dibujos de [OpenMoji](https://openmoji.org)
        (licencia CC BY-SA 4.0) sobre fondos de colores. Como ella misma los pega, conoce con exactitud la clase, la
        caja y la máscara de cada objeto. Lo que ves arriba es esa respuesta correcta; en las próximas lecciones la
        tendrá que dar una red.*

        ## ¿Por qué es difícil?

        Tú miras la escena y ves un animal. La computadora recibe números. Una imagen de alto $H$ y ancho $W$ es un
        arreglo de $H \times W \times 3$ enteros de 0 a 255: cuánto rojo, verde y azul hay en cada píxel. Reduce la
        imagen con el control y mira en qué se convierte: así de poco dice un número suelto.
        """,
        en=r"""
        *The library makes the scenes of this course itself: it pastes drawings from [OpenMoji](https://openmoji.org)
        (licence CC BY-SA 4.0) onto coloured grounds. Because it pastes them, it knows the class, the box and the mask
        of each object exactly. What you see above is this correct answer; in the lessons to come, a network has to give
        it.*

        ## Why is it hard?

        You look at the scene and see an animal. The computer receives numbers. An image of height $H$ and width $W$ is
        an array of $H \times W \times 3$ integers from 0 to 255: how much red, green and blue each pixel has. Shrink
        the image with the slider and see what becomes of it: this is how little a single number says.
        """,
    )
    return


@app.cell
def _(t):
    pixels = t.slider(
        steps=[4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 192],
        value=16,
        es="lado de la imagen, píxeles",
        en="side of the image, pixels",
    )
    pixels
    return (pixels,)


@app.cell
def _(image, np, pixels, t):
    edges = np.linspace(0, image.shape[0], pixels.value + 1).round().astype(int)[:-1]
    small = np.add.reduceat(np.add.reduceat(image.astype(np.float64), edges, 0), edges, 1) / (192 / pixels.value) ** 2
    small = small.round().clip(0, 255).astype(np.uint8)
    t.image(
        small,
        es=f"{pixels.value} × {pixels.value} × 3 = {small.size} números",
        en=f"{pixels.value} × {pixels.value} × 3 = {small.size} numbers",
        width=288,
    )
    return (small,)


@app.cell
def _(small):
    small[:4, :4, 0]  # red of the sixteen pixels in the upper left corner
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Ningún píxel es «animal». Lo que importa es cómo se combinan miles de ellos, y esa combinación cambia con la
        luz, el tamaño, el giro y lo que tapa al objeto. Escribir a mano una regla para cada caso es imposible. Por eso
        se **aprende**: se elige una función con muchos parámetros, se le muestran ejemplos con su respuesta y se
        ajustan los parámetros para que la *pérdida*, el error promedio, sea pequeña:

        $$\hat\theta = \arg\min_\theta \frac{1}{N} \sum_{i=1}^{N} \ell\big(f_\theta(x_i),\, y_i\big)$$

        La imagen $x$ es siempre la misma. Lo que distingue una tarea de otra es la respuesta $y$.
        """,
        en=r"""
        No pixel is "animal". What matters is how thousands of them combine, and this combination changes with the
        light, the size, the rotation and with what hides the object. Nobody can write a rule by hand for each case. So
        the rule is **learned**: choose a function with many parameters, show it examples with their answers, and adjust
        the parameters until the *loss*, the mean error, is small:

        $$\hat\theta = \arg\min_\theta \frac{1}{N} \sum_{i=1}^{N} \ell\big(f_\theta(x_i),\, y_i\big)$$

        The image $x$ is always the same. What distinguishes one task from another is the answer $y$.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## 1. Clasificación: ¿qué hay?

        La respuesta es una etiqueta, o una probabilidad por clase. No dice dónde ni cuántos. Cuando varias clases
        pueden estar presentes a la vez, como aquí, la respuesta es un vector de ceros y unos, uno por clase:
        """,
        en="""
        ## 1. Classification: what is there?

        The answer is a label, or a probability for each class. It says neither where nor how many. Where several
        classes may be present at once, as here, the answer is a vector of zeros and ones, one for each class:
        """,
    )
    return


@app.cell
def _(annotations, truth):
    {name: int(name in truth.classes) for name in annotations.classes}
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## 2. Detección: ¿qué hay y dónde?

        La respuesta es una lista, de largo variable, de **cajas delimitadoras** con su clase; un detector añade a cada
        una un puntaje, que dice cuánta confianza tiene. De esto trata toda la parte 2 del curso.
        """,
        en="""
        ## 2. Detection: what is where?

        The answer is a list, of varying length, of **bounding boxes** with their classes; a detector adds a score to
        each, which says how confident it is. The whole of part 2 is about this.
        """,
    )
    return


@app.cell
def _(truth):
    for _name, _box in zip(truth.classes, truth.boxes, strict=True):
        print(f"{_name:7} left, top, right, bottom = {_box.astype(int).tolist()}")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## 3. Segmentación: ¿qué píxeles?

        La respuesta es una **máscara**, un valor por píxel. La segmentación *semántica* da a cada píxel una clase, así
        que dos animales que se tocan forman una sola mancha. La segmentación *de instancias* da una máscara a cada
        objeto. Elige cuál quieres ver (parte 3 del curso):
        """,
        en="""
        ## 3. Segmentation: which pixels?

        The answer is a **mask**, one value for each pixel. *Semantic* segmentation gives each pixel a class, so two
        animals that touch form a single patch. *Instance* segmentation gives each object a mask of its own. Choose
        which one to see (part 3 of the course):
        """,
    )
    return


@app.cell
def _(t):
    kind = t.radio(
        {"class": ("semántica", "semantic"), "object": ("de instancias", "instance")}, value="class", es="", en=""
    )
    kind
    return (kind,)


@app.cell
def _(annotations, calco, class_colours, kind, np, object_colours, t):
    crowd = next(_r for _r in annotations.records if _r.name == "train/018@1.png")
    crowd_image, crowd_truth = calco.read_image(crowd.image), crowd.detections
    shades = (
        [class_colours[_name] for _name in crowd_truth.classes]
        if kind.value == "class"
        else object_colours[: len(crowd_truth)]
    )
    painting = crowd_image.astype(np.float32) * 0.35
    for _outline, _shade in zip(crowd_truth.outlines, shades, strict=True):
        painting[_outline.mask] = 0.35 * crowd_image[_outline.mask] + 0.65 * np.array(_shade)
    covered = float(np.any([_outline.mask for _outline in crowd_truth.outlines], axis=0).mean())
    in_boxes = np.zeros(crowd_image.shape[:2], bool)
    for _left, _top, _right, _bottom in crowd_truth.boxes.astype(int):
        in_boxes[_top:_bottom, _left:_right] = True
    t.images(
        (crowd_image, "La imagen", "The image"),
        (
            painting.astype(np.uint8),
            f"{len(crowd_truth)} objetos. Las máscaras cubren el {covered:.0%} de los píxeles; sus cajas, el {in_boxes.mean():.0%}",
            f"{len(crowd_truth)} objects. The masks cover {covered:.0%} of the pixels, their boxes {in_boxes.mean():.0%}",
        ),
        width=260,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## 4. Traducción: ¿cómo sería de otra manera?

        La respuesta es otra **imagen** del mismo tamaño: el boceto se vuelve retrato, la foto rayada se repara, el gris
        recibe color. Pasar de color a gris es una cuenta de una línea. Volver no lo es: tres números se hicieron uno, y
        muchas escenas distintas dan el mismo gris. Una red que colorea tiene que saber de qué color *suelen* ser las
        cosas.
        """,
        en="""
        ## 4. Translation: what would it look like in another way?

        The answer is another **image** of the same size: a sketch becomes a portrait, a scratched photograph is
        repaired, grey receives colour. From colour to grey is one line of arithmetic. The way back is not: three
        numbers became one, and many different scenes give the same grey. A network that colours must know which colours
        things *usually* have.
        """,
    )
    return


@app.cell
def _(np):
    weights = np.array([0.299, 0.587, 0.114])  # of red, green and blue, by ITU-R BT.601
    red, green = np.array([200, 60, 60]), np.array([60, 131, 60])
    [round(float(each @ weights), 1) for each in (red, green)]
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Ese rojo y ese verde son el mismo gris. De la traducción trata la parte 5, con las redes antagónicas (GAN).

        ## 5. Seguimiento: ¿adónde va?

        La entrada es un video, y la respuesta es una **trayectoria** por objeto: la misma identidad, fotograma tras
        fotograma. Aquí tres objetos se mueven y un detector simulado entrega sus cajas en desorden y con un poco de
        error. El programa las une: cada caja nueva sigue a la trayectoria cuya última caja más se le superpone. Mueve
        el fotograma:
        """,
        en="""
        That red and that green are the same grey. Part 5, with adversarial networks (GANs), is about translation.

        ## 5. Tracking: where is it going?

        The input is a video, and the answer is a **track** for each object: the same identity, frame after frame. Here
        three objects move, and a simulated detector delivers their boxes in random order and with a small error. The
        program links them: each new box continues the track whose last box it overlaps most. Move through the frames:
        """,
    )
    return


@app.cell
def _(detection, np):
    rng = np.random.default_rng(0)
    starts = np.array([[8, 20, 48, 60], [140, 40, 184, 84], [70, 140, 112, 182]], np.float32)
    speeds = np.array([[3.4, 2.0], [-3.0, 1.6], [1.6, -3.0]], np.float32)
    frames = []
    for _step in range(30):
        _order = rng.permutation(3)
        _moved = starts + _step * np.tile(speeds, 2) + rng.normal(0, 1, starts.shape)
        frames.append(_moved[_order].astype(np.float32))  # what a detector sees: boxes without names

    tracks = [[box] for box in frames[0]]
    for _boxes in frames[1:]:
        overlaps = detection.iou(np.array([track[-1] for track in tracks]), _boxes)
        for _ in tracks:  # the best pair first, and each track and each box only once
            _track, _place = np.unravel_index(overlaps.argmax(), overlaps.shape)
            tracks[_track].append(_boxes[_place])
            overlaps[_track, :], overlaps[:, _place] = -1, -1
    [len(track) for track in tracks]
    return (tracks,)


@app.cell
def _(t):
    frame = t.slider(0, 29, value=18, es="fotograma", en="frame")
    frame
    return (frame,)


@app.cell
def _(frame, kit, np, t, tracks):
    _figure, _axes = kit.plot(5, 3.6)
    for _number, (_track, _colour) in enumerate(zip(tracks, ("tab:orange", "tab:blue", "tab:pink"), strict=True), 1):
        _path = np.array(_track[: frame.value + 1])
        _left, _top, _right, _bottom = _path[-1]
        _axes.plot(_path[:, [0, 2]].mean(1), _path[:, [1, 3]].mean(1), color=_colour, lw=2)
        _axes.plot(
            [_left, _right, _right, _left, _left],
            [_top, _top, _bottom, _bottom, _top],
            color=_colour,
            label=f"#{_number}",
        )
    _axes.set(xlim=(0, 192), ylim=(192, 0), aspect="equal", xlabel="x", ylabel="y")
    _axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    t.image(
        _figure,
        es=f"Las trayectorias hasta el fotograma {frame.value}",
        en=f"The tracks up to frame {frame.value}",
        width=460,
    )
    return


@app.cell(hide_code=True)
def _(kit, t):
    _tasks = (
        ("clasificación", "classification", "una etiqueta por imagen", "a label for the image", "C"),
        ("detección", "detection", "N cajas con clase y puntaje", "N boxes with class and score", "N × (4 + 1 + C)"),
        ("segmentación semántica", "semantic segmentation", "una clase por píxel", "a class for each pixel", "H × W"),
        (
            "segmentación de instancias",
            "instance segmentation",
            "una máscara por objeto",
            "a mask for each object",
            "N × H × W",
        ),
        ("traducción", "translation", "otra imagen", "another image", "H × W × 3"),
        (
            "seguimiento",
            "tracking",
            "cajas con identidad, por fotograma",
            "boxes with an identity, frame by frame",
            "T × N × (4 + 1)",
        ),
    )
    kit.mo.vstack(
        [
            t(
                es="## Lo que muestra\n\nLa tarea la define la forma de su respuesta:",
                en="## What it shows\n\nThe shape of its answer defines a task:",
            ),
            t.table(
                [
                    {
                        t.pick("tarea", "task"): t.pick(_es, _en),
                        t.pick("respuesta", "answer"): t.pick(_what_es, _what_en),
                        t.pick("números", "numbers"): _shape,
                    }
                    for _es, _en, _what_es, _what_en, _shape in _tasks
                ]
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Cuanto más dice la respuesta, más cuesta anotarla. Poner una etiqueta toma un segundo; una caja, varios; una
        máscara a mano, un minuto o más. Elige la tarea más simple que responde a tu pregunta: para contar autos bastan
        cajas.

        ## Ejercicios

        **1.** ¿Qué tarea es cada una? (a) Decir si una radiografía muestra neumonía. (b) Medir cuántas hectáreas de
        bosque hay en una imagen de satélite. (c) Contar las vicuñas de una foto aérea. (d) Saber cuánto tiempo espera
        cada persona en una cola.
        """,
        en="""
        The more an answer says, the more it costs to annotate. A label takes a second; a box, several; a mask by hand,
        a minute or more. Choose the simplest task that answers your question: to count cars, boxes are enough.

        ## Exercises

        **1.** Which task is each of these? (a) Say whether an X-ray shows pneumonia. (b) Measure how many hectares of
        forest there are in a satellite image. (c) Count the vicuñas in an aerial photograph. (d) Find out how long each
        person waits in a queue.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        (a) Clasificación. (b) Segmentación semántica: importa el área, no cuántos árboles hay. (c) Detección: importa
        cuántas hay, no su forma exacta. (d) Seguimiento: hay que reconocer a la misma persona de un fotograma a otro.
        """,
        en="""
        (a) Classification. (b) Semantic segmentation: the area matters, not the number of trees. (c) Detection: their
        number matters, not their exact shape. (d) Tracking: the same person must be recognised from frame to frame.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** De una máscara de instancias se obtiene la caja. Hazlo con la primera máscara de la escena. ¿Se puede al
        revés?
        """,
        en="""
        **2.** A box can be obtained from an instance mask. Do it for the first mask of the scene. Is the reverse
        possible?
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, outlines, t, truth):
    _rows, _columns = np.nonzero(outlines[0].mask)
    from_mask = [int(_columns.min()), int(_rows.min()), int(_columns.max()) + 1, int(_rows.max()) + 1]
    t.solution(
        es=f"""
        `rows, columns = np.nonzero(outlines[0].mask)`; la caja va de los mínimos a los máximos más uno: {from_mask}. La
        anotada es {truth.boxes[0].astype(int).tolist()}. Al revés no se puede: una caja no dice cuáles de sus píxeles son
        del objeto.
        """,
        en=f"""
        `rows, columns = np.nonzero(outlines[0].mask)`; the box runs from the minima to the maxima plus one: {from_mask}. The
        annotated one is {truth.boxes[0].astype(int).tolist()}. The reverse is impossible: a box does not say which of its
        pixels belong to the object.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** En el seguimiento, multiplica `speeds` por 8. ¿Por qué las trayectorias se confunden?
        """,
        en="""
        **3.** In the tracking example, multiply `speeds` by 8. Why do the tracks get mixed up?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Cada objeto avanza entonces casi su propio ancho por fotograma: su caja nueva ya apenas se superpone a la
        anterior, la IoU cae hacia cero y otra caja puede ganar. Los seguidores reales predicen primero la posición a
        partir de la velocidad, y comparan con la predicción.
        """,
        en="""
        Each object then moves by almost its own width per frame: its new box hardly overlaps its last one, IoU falls
        towards zero, and another box may win. Real trackers first predict the position from the speed, and compare with
        the prediction.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
