import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.1 · ¿Qué es la segmentación? · What is segmentation?",
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
        "3.1",
        es="""
        Pasa el deslizador de «imagen» a «clases»: cada píxel recibe un nombre. Eso es segmentar. Una caja dice
        *dónde está* un objeto; una máscara dice *qué píxeles son suyos*.
    """,
        en="""
        Move the slider from "image" to "classes": each pixel gets a name. That is segmentation. A box says *where*
        an object is; a mask says *which pixels are its own*.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    mix = t.slider(0, 100, step=5, value=50, es="imagen → clases, %", en="image → classes, %")
    number = t.slider(0, 11, value=2, es="escena", en="scene")
    kit.mo.hstack([mix, number], justify="start")
    return mix, number


@app.cell
def _(mix, number, t):
    import numpy as np

    from calco.lessons import segmenting

    data = segmenting.labelled("val", 192)
    scene, classes = data.images[number.value], data.classes[number.value]
    colours = segmenting.painted(classes)
    blend = (scene * (1 - mix.value / 100) + colours * (mix.value / 100)).astype(np.uint8)
    t.image(
        blend,
        es="Una escena y la clase de cada píxel; negro es el fondo. Dibujos: OpenMoji, CC BY-SA 4.0",
        en="A scene and the class of each pixel; black is the background. Drawings: OpenMoji, CC BY-SA 4.0",
        width=384,
    )
    return classes, data, np, scene


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Para qué

        Un robot que toma una fruta necesita su contorno, no una caja que incluye la mesa. Un médico mide el área de
        un tumor. Un mapa separa río, bosque y ciudad. En Calco, una máscara marca qué parte de una foto hay que
        reparar y qué persona lleva un objeto peligroso.

        ## La idea

        Una imagen es una función de los píxeles a los colores. Segmentar es calcular otra función, de los píxeles a
        las clases:

        $$f: \{1,\dots,H\} \times \{1,\dots,W\} \to \{0, 1, \dots, K-1\}$$

        Una red no elige la clase de golpe. Da $K$ números por píxel, los *logits* $z_k$; el *softmax* los convierte
        en probabilidades y la clase es la más probable:

        $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}}, \qquad f = \arg\max_k\, p_k$$

        Es, entonces, clasificar, pero $H \cdot W$ veces y con un vecindario compartido. Para una imagen de 192 ×
        192 son 36 864 decisiones.

        ## El código más corto

        Sin aprender nada, ya podemos segmentar por un umbral: un píxel es objeto si su saturación (la distancia
        entre el canal mayor y el menor) es alta. Mueve el umbral y mira cuánto acierta.
    """,
        en=r"""
        ## What it is for

        A robot that picks up a fruit needs its outline, not a box that includes the table. A doctor measures the
        area of a tumour. A map separates river, forest and town. In Calco a mask marks which part of a photograph
        is to be repaired, and which person carries a dangerous object.

        ## The idea

        An image is a function from pixels to colours. To segment is to compute another one, from pixels to classes:

        $$f: \{1,\dots,H\} \times \{1,\dots,W\} \to \{0, 1, \dots, K-1\}$$

        A network does not choose the class at once. It gives $K$ numbers for a pixel, the *logits* $z_k$; the
        *softmax* turns them into probabilities, and the class is the most probable one:

        $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}}, \qquad f = \arg\max_k\, p_k$$

        So it is classification, done $H \cdot W$ times with shared neighbourhoods. For an image of 192 × 192 these
        are 36,864 decisions.

        ## The smallest code

        We can segment by a threshold without learning anything: a pixel is object if its saturation (the distance
        from its lowest channel to its highest) is high. Move the threshold, and watch how often it is right.
    """,
    )
    return


@app.cell
def _(t):
    threshold = t.slider(0, 255, value=90, es="umbral", en="threshold")
    threshold
    return (threshold,)


@app.cell
def _(classes, np, scene, t, threshold):
    saturation = scene.max(2).astype(int) - scene.min(2)
    guess = saturation >= threshold.value
    truth = classes > 0
    shared, covered = (guess & truth).sum(), (guess | truth).sum()
    mask_iou, accuracy = shared / max(covered, 1), (guess == truth).mean()
    t.images(
        (scene, "escena", "scene"),
        (guess.astype(np.uint8) * 255, f"umbral: IoU {mask_iou:.2f}", f"threshold: IoU {mask_iou:.2f}"),
        (truth.astype(np.uint8) * 255, "anotación de referencia", "ground truth"),
    )
    return accuracy, mask_iou


@app.cell(hide_code=True)
def _(accuracy, classes, mask_iou, t):
    nothing = (classes == 0).mean()
    t(
        es=f"""
        ## Qué muestra

        El umbral acierta el {accuracy:.0%} de los píxeles, y su IoU es {mask_iou:.2f}. La exactitud engaña: decir
        «todo es fondo» ya acierta el {nothing:.0%} en esta escena y su IoU es 0. Por eso la segmentación se mide
        con la IoU de las máscaras: píxeles compartidos entre píxeles cubiertos por una u otra.

        El color solo no basta: un camión blanco no tiene saturación y un fondo puede tenerla. Hace falta mirar la
        forma y el vecindario. Eso aprenden las redes de 3.3 y 3.7.

        ## Ejercicios

        **1.** Un objeto cubre el 4 % de una imagen. ¿Qué exactitud tiene la máscara vacía? ¿Y qué IoU?
    """,
        en=f"""
        ## What it shows

        The threshold is right for {accuracy:.0%} of the pixels, and its IoU is {mask_iou:.2f}. Accuracy misleads:
        to say "all is background" is right for {nothing:.0%} of this scene already, with an IoU of 0. This is why
        segmentation is measured by the IoU of masks: shared pixels divided by those that either covers.

        Colour alone does not suffice: a white lorry has no saturation, and a background may have some. One must
        look at form and neighbourhood. The networks of 3.3 and 3.7 learn that.

        ## Exercises

        **1.** An object covers 4 % of an image. What is the accuracy of the empty mask? And its IoU?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        La exactitud es 96 %: todos los píxeles de fondo aciertan. La IoU es 0, porque no se comparte ningún píxel.
    """,
        en="""
        The accuracy is 96 %: all pixels of the background are right. IoU is 0, because no pixel is shared.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Hay un solo umbral que sirva para todas las escenas? Calcula, para cada umbral, la IoU media de las
        doce primeras.
    """,
        en="""
        **2.** Is there one threshold for all scenes? Compute the mean IoU of the first twelve for each threshold.
    """,
    )
    return


@app.cell(hide_code=True)
def _(data, np, t):
    _sat = data.images[:12].max(3).astype(int) - data.images[:12].min(3)
    _true = data.classes[:12] > 0
    _levels = list(range(0, 250, 10))
    _scores = [
        float(np.mean([((s >= v) & m).sum() / max(((s >= v) | m).sum(), 1) for s, m in zip(_sat, _true, strict=True)]))
        for v in _levels
    ]
    _best = int(np.argmax(_scores))
    t.solution(
        es=f"El mejor umbral es {_levels[_best]}, con una IoU media de {_scores[_best]:.2f}: ninguno sirve para todas.",
        en=f"The best threshold is {_levels[_best]}, with a mean IoU of {_scores[_best]:.2f}: none serves all of them.",
    )
    return


if __name__ == "__main__":
    app.run()
