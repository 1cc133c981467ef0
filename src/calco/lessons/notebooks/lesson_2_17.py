import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.17 · Ajuste fino: el aumento de datos · Fine-tuning: the augmentation")


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
        "2.17",
        es="""
        Elige una perturbación y su fuerza. El detector ya entrenado la recibe en todas las imágenes de validación.
        ¿Qué resiste? Lo que le enseñaron a resistir.
        """,
        en="""
        Choose a perturbation and its strength. The detector, trained already, meets it in all validation images. What
        does it withstand? What it was taught to withstand.
        """,
    )
    return (t,)


@app.cell
def _():
    import cv2
    import numpy as np

    import calco
    from calco.detection import draw_detections, load_detector
    from calco.detection.metrics import average_precision
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    detector = load_detector(scenes.detector(), device="cpu", precision="fp32")
    validation = [data.load(item) for item in data.items if item.split == "val"][:24]
    return average_precision, cv2, data, detector, draw_detections, np, scenes, validation


@app.cell
def _(kit, t):
    kind = t.dropdown(
        {
            "dark": ("oscurecer", "darken"),
            "hue": ("cambiar el tono", "shift the hue"),
            "blur": ("desenfocar", "blur"),
            "noise": ("ruido", "noise"),
            "small": ("encoger", "shrink"),
            "turn": ("girar 180°", "turn by 180°"),
        },
        value="small",
        es="perturbación",
        en="perturbation",
    )
    strength = t.slider(0, 1, step=0.05, value=0.5, es="fuerza", en="strength")
    kit.mo.hstack([kind, strength], justify="start", wrap=True)
    return kind, strength


@app.cell
def _(average_precision, cv2, detector, np, validation):
    def perturbed(sample, kind, strength):
        """Return the image and its boxes, perturbed; light does not move boxes, geometry does."""
        image, objects = sample.image, sample.detections
        height, width = image.shape[:2]
        if kind == "dark":
            return np.rint(image * (1 - 0.9 * strength)).astype(np.uint8), objects
        if kind == "hue":
            shades = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
            shades[..., 0] += np.uint8(round(128 * strength))  # a circle of 256 steps
            return cv2.cvtColor(shades, cv2.COLOR_HSV2RGB_FULL), objects
        if kind == "blur":
            return (cv2.GaussianBlur(image, (0, 0), 6 * strength) if strength else image), objects
        if kind == "noise":
            grain = np.random.default_rng(0).normal(0, 100 * strength, image.shape)
            return np.clip(image + grain, 0, 255).astype(np.uint8), objects
        if kind == "small":
            scale = 1 - 0.8 * strength
            size_wh = round(width * scale), round(height * scale)
            canvas = np.full_like(image, 114)
            canvas[: size_wh[1], : size_wh[0]] = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
            return canvas, objects.scaled(size_wh[0] / width, size_wh[1] / height)
        if strength < 0.5:  # a half turn is all or nothing
            return image, objects
        boxes = np.array([width, height, width, height], np.float32) - objects.boxes[:, [2, 3, 0, 1]]
        return np.ascontiguousarray(image[::-1, ::-1]), type(objects)(boxes=boxes, classes=objects.classes)

    def score(kind, strength):
        """Return the mAP50 of the detector on the perturbed validation images."""
        images, truth = zip(*(perturbed(sample, kind, strength) for sample in validation), strict=True)
        return average_precision(truth, detector.many(images, threshold=0.01), detector.classes).ap50

    return perturbed, score


@app.cell
def _(detector, draw_detections, kind, kit, perturbed, score, strength, t, validation):
    steps = (0.0, 0.25, 0.5, 0.75, 1.0)
    curve = [score(kind.value, step) for step in steps]
    here = score(kind.value, strength.value)
    _image, _ = perturbed(validation[5], kind.value, strength.value)
    _figure, _axes = kit.plot(5, 3)
    _axes.plot(steps, curve, marker="o")
    _axes.plot([strength.value], [here], "o", color="black")
    _axes.set(xlabel=t.pick("fuerza", "strength"), ylabel="mAP50", ylim=(0, 1))
    kit.mo.hstack(
        [
            t.image(draw_detections(_image, detector(_image), detector.classes), width=300,
                    es="lo que encuentra (OpenMoji, CC BY-SA 4.0)", en="what it finds (OpenMoji, CC BY-SA 4.0)"),
            t.image(_figure, es=f"mAP50 = {here:.2f} con esta fuerza; {curve[0]:.2f} sin perturbar", width=420,
                    en=f"mAP50 = {here:.2f} at this strength; {curve[0]:.2f} without perturbation"),
        ],
        justify="start",
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## La idea

        Una red es **invariante** a una transformación $g$ si $f(g(x)) = f(x)$; un detector debe ser **equivariante** a
        las geométricas: si la imagen se mueve, las cajas se mueven igual, $f(g(x)) = g(f(x))$. Las convoluciones traen
        de fábrica la equivariancia a la traslación y ninguna otra. Lo demás se aprende de los ejemplos, y el aumento
        es la manera de ponerlo en ellos.

        De ahí un método para elegir el aumento de *tu* ajuste fino, mejor que copiar una receta:

        1. Escribe qué cambia entre tus fotos y las del uso real: hora, cámara, distancia, clima.
        2. Mide, como arriba, cuánto pierde el detector con cada cambio.
        3. Aumenta lo que el uso traerá **y** el detector no resiste. Lo que el uso nunca traerá, no: gasta capacidad.

        Ahora las seis, una por una, a mitad de fuerza:
        """,
        en="""
        ## The idea

        A network is **invariant** to a transformation $g$ if $f(g(x)) = f(x)$; a detector has to be **equivariant** to
        geometric ones: if the image moves, the boxes move in the same way, $f(g(x)) = g(f(x))$. Convolutions are built
        equivariant to shifts, and to nothing else. The rest is learned from examples, and augmentation is the way to
        put it into them.

        Hence a method to choose the augmentation of *your* fine-tuning, better than copying a recipe:

        1. Write down what differs between your photos and those of real use: hour, camera, distance, weather.
        2. Measure, as above, how much the detector loses by each change.
        3. Augment what use will bring **and** the detector does not withstand. Not what use will never bring: it costs
           capacity.

        Now all six, one by one, at half strength:
        """,
    )
    return


@app.cell
def _(score, t):
    NAMES = {"dark": ("oscurecer", "darken"), "hue": ("tono", "hue"), "blur": ("desenfoque", "blur"),
             "noise": ("ruido", "noise"), "small": ("encoger", "shrink"), "turn": ("media vuelta", "half turn")}  # fmt: skip
    halves = {name: score(name, 0.5) for name in NAMES}
    whole = score("dark", 0)
    t.table(
        [
            {t.pick("perturbación", "perturbation"): t.pick(*NAMES[name]), "mAP50": f"{value:.2f}",
             t.pick("pierde", "lost"): f"{whole - value:.2f}"}
            for name, value in sorted(halves.items(), key=lambda pair: pair[1])
        ]
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## El aumento de este entrenamiento

        Estas son las opciones con que se entrenó el detector de arriba, tal como las guarda su `config.yaml`:
        """,
        en="""
        ## The augmentation of this training

        These are the options with which the detector above was trained, as its `config.yaml` keeps them:
        """,
    )
    return


@app.cell
def _(scenes):
    config = scenes.detector_config()
    {name: value for name, value in vars(config.augment).items()} | {"calm": config.calm}
    return (config,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Léelas al lado de la tabla. `flip` es el reflejo horizontal, nunca la media vuelta. `scale` va de 0,8 a 1,25:
        una imagen encogida al 60 % queda fuera de lo visto. `light` y `colour` cambian hasta 30 %, pero el tono solo
        un veinteavo del círculo por ese 0,3. `mosaic` está en 0 por una razón práctica: el mosaico hace difícil cada
        imagen, y solo paga en entrenamientos largos; 160 pasos no lo son.

        `calm` es la última parte del entrenamiento, con aumento débil. El aumento **sesga**: la red ve una
        distribución más ancha que la real, y conviene que termine viendo la real. Así se ven los dos extremos:
        """,
        en="""
        Read them beside the table. `flip` is the horizontal mirror image, never the half turn. `scale` runs from 0.8
        to 1.25: an image shrunk to 60% is outside of what was seen. `light` and `colour` change by up to 30%, but the
        hue by a twentieth of the circle times that 0.3 alone. `mosaic` is 0 for a practical reason: mosaics make each
        image difficult and pay in long trainings alone; 160 steps are not one.

        `calm` is the last part of the training, with weak augmentation. Augmentation **biases**: the network sees a
        wider distribution than the real one, and does well to end on the real one. These are the two extremes:
        """,
    )
    return


@app.cell
def _(config, data, draw_detections, t):
    from calco.data.box_augmentation import augmented, no_augmentation

    _loaded = [data.load(item) for item in data.items if item.split == "train"][:16]
    _shown = [
        augmented(_loaded.__getitem__, 5, len(_loaded), 192, settings, seed=0, epoch=epoch)
        for settings, epochs in ((config.augment, (0, 1, 2)), (no_augmentation(), (3,)))
        for epoch in epochs
    ]
    t.images(
        *(
            (draw_detections(image, found, data.classes), es, en)
            for (image, found), (es, en) in zip(
                _shown,
                (*(((f"época {i}", f"epoch {i}")) for i in range(3)), ("sin aumento", "without augmentation")),
                strict=True,
            )
        ),
        width=200,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Cuál de las seis perturbaciones *no* añadirías al aumento, aunque el detector pierda con ella?
        """,
        en="""
        ## Exercises

        **1.** Which of the six perturbations would you *not* add to the augmentation, even though the detector loses
        by it?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        La media vuelta, si el uso son fotos tomadas de pie: ningún auto aparecerá con las ruedas arriba, y enseñarlo gasta
        pesos y pasos. Desde un dron la respuesta sería la contraria. El tono depende: si «fruta» incluye manzanas rojas y
        verdes, sí; si la clase fuera «manzana roja», no.
        """,
        en="""
        The half turn, where use means photos taken upright: no car will show its wheels on top, and teaching it costs weights
        and steps. From a drone the answer would be the opposite. Hue depends: where “fruit” includes red and green apples,
        yes; were the class “red apple”, no.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Al encoger, ¿se pierde porque los objetos son pequeños en la imagen o porque lo son *para la red*?
        Diseña la medición.
        """,
        en="""
        **2.** When images are shrunk, is it lost because objects are small in the image, or because they are *for the
        network*? Design the measurement.
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, perturbed, t, validation):
    _sides = np.concatenate([np.sqrt(perturbed(s, "small", 0.5)[1].areas()) / 2 for s in validation])
    t.solution(
        es=f"""
        Hay dos causas mezcladas: menos píxeles y una escala no vista. Al 60 %, el objeto mediano mide
        {np.median(_sides):.0f} píxeles en el cuadrado de 96, menos de dos celdas del mapa más fino (8 píxeles) en los
        pequeños. Para separarlas: recorta en la imagen encogida una ventana que contenga al objeto y pásala sola; vuelve a
        tener la escala conocida pero con los píxeles perdidos. Lo que se recupere era escala; el resto, resolución.
        """,
        en=f"""
        Two causes are mixed: fewer pixels, and a scale that was not seen. At 60%, the median object has
        {np.median(_sides):.0f} pixels in the square of 96, and small ones less than two cells of the finest map (8 pixels). To
        separate them, crop a window around the object from the shrunk image and pass it alone; it has the known scale again,
        but the lost pixels. What comes back was scale; the rest was resolution.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
