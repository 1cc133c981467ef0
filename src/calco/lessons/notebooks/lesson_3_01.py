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
    kit.mo.hstack([mix, number], justify="start", wrap=True)
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
    return classes, data, np, scene, segmenting


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
        (truth.astype(np.uint8) * 255, "verdad de referencia", "ground truth"),
    )
    return accuracy, mask_iou, saturation, truth


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
        """,
        en=f"""
        ## What it shows

        The threshold is right for {accuracy:.0%} of the pixels, and its IoU is {mask_iou:.2f}. Accuracy misleads:
        to say "all is background" is right for {nothing:.0%} of this scene already, with an IoU of 0. This is why
        segmentation is measured by the IoU of masks: shared pixels divided by those that either covers.

        Colour alone does not suffice: a white lorry has no saturation, and a background may have some. One must
        look at form and neighbourhood. The networks of 3.3 and 3.7 learn that.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## El umbral de Otsu

        ¿Quién elige el umbral? Otsu (1979) no mira la respuesta: prueba cada umbral $u$, parte los píxeles en dos
        grupos con proporciones $w_0, w_1$ y medias $\mu_0, \mu_1$, y se queda con el que más los separa:

        $$\sigma_B^2(u) = w_0\, w_1\, (\mu_0 - \mu_1)^2$$

        La varianza total es $\sigma_B^2$ más la varianza *dentro* de los grupos, y no depende de $u$: separar más
        los grupos es lo mismo que hacerlos más parejos.
        """,
        en=r"""
        ## Otsu's threshold

        Who chooses the threshold? Otsu (1979) does not look at the answer: try each threshold $u$, split the pixels
        into two groups of shares $w_0, w_1$ and means $\mu_0, \mu_1$, and keep the one that separates them most:

        $$\sigma_B^2(u) = w_0\, w_1\, (\mu_0 - \mu_1)^2$$

        The total variance is $\sigma_B^2$ plus the variance *within* the groups, and does not depend on $u$: to
        separate the groups more is to make them more even.
        """,
    )
    return


@app.cell
def _(data, np, saturation, segmenting, truth):
    def otsu(values):
        counts = np.bincount(values.ravel(), minlength=256)
        below = np.cumsum(counts)[:-1]
        above = values.size - below
        first = np.cumsum(counts * np.arange(256))[:-1]
        spread = below * above * (first / np.maximum(below, 1) - (values.sum() - first) / np.maximum(above, 1)) ** 2
        return int(spread.argmax()) + 1

    by_otsu = otsu(saturation)
    otsu_mask = saturation >= by_otsu
    otsu_iou = (otsu_mask & truth).sum() / (otsu_mask | truth).sum()
    filled = {}
    for _classes in data.classes[:12]:
        for _k in range(1, 4):
            _rows, _columns = np.nonzero(_classes == _k)
            if len(_rows):
                _box = (np.ptp(_rows) + 1) * (np.ptp(_columns) + 1)
                filled.setdefault(segmenting.CLASSES[_k], []).append(len(_rows) / _box)
    by_otsu, float(otsu_iou)
    return by_otsu, filled, otsu_iou


@app.cell(hide_code=True)
def _(by_otsu, filled, np, otsu_iou, t):
    t(
        es=rf"""
        Otsu elige {by_otsu} en esta escena, con una IoU de {otsu_iou:.2f}. Supone dos grupos, y falla donde hay
        tres: un fondo, un objeto vivo y otro pálido.

        ## Una caja no es una máscara

        ¿Cuánto de una caja es del objeto? Un disco cubre $\pi/4 = 0{{,}}785$ de su cuadrado; un triángulo, la
        mitad; y una caja alrededor de dos objetos separados, mucho menos. En doce escenas, lo que cubre cada clase
        de la caja que la encierra es, en promedio: {
            ", ".join(f"{name} {np.mean(each):.0%}" for name, each in filled.items())
        }. El resto es fondo que una caja cuenta como objeto. Por eso medir áreas con cajas sale mal.

        ## De logits a una decisión, con números

        Tres clases y logits $z = (2, 1, -1)$. Las exponenciales son $7{{,}}39$, $2{{,}}72$ y $0{{,}}37$; suman
        $10{{,}}48$, y las probabilidades son $0{{,}}705$, $0{{,}}259$ y $0{{,}}035$. Sumar 100 a los tres logits no
        cambia nada, porque $e^{{100}}$ se cancela; por eso las bibliotecas restan primero el mayor, para que nada
        desborde. Si la clase verdadera es la segunda, el píxel paga $-\ln 0{{,}}259 = 1{{,}}35$, y el gradiente por
        cada logit es simplemente $p_k - y_k$: $(0{{,}}705,\ -0{{,}}741,\ 0{{,}}035)$. Suman cero: lo que una clase
        sube, lo bajan las otras.

        ## Lo que sale mal, y cómo se ve

        - **Puntos sueltos**: cada píxel decide solo. Se ve como sal y pimienta; se arregla mirando vecinos.
        - **Huecos dentro del objeto**: un brillo o un ojo negro no tienen saturación.
        - **El borde se corre**: la anotación y la imagen se redujeron de modos distintos (lección 3.5).
        - **Todo es fondo**: alta exactitud e IoU cero; mira siempre la IoU *por clase*.
        """,
        en=rf"""
        Otsu chooses {by_otsu} in this scene, with an IoU of {otsu_iou:.2f}. It assumes two groups, and fails where
        there are three: a ground, a vivid object and a pale one.

        ## A box is not a mask

        How much of a box belongs to the object? A disc covers $\pi/4 = 0.785$ of its square; a triangle a half; and
        a box around two separate objects far less. In twelve scenes each class covers, of the box that encloses it,
        on average: {", ".join(f"{name} {np.mean(each):.0%}" for name, each in filled.items())}. The rest is
        background that a box counts as object. This is why areas are not measured by boxes.

        ## From logits to a decision, in numbers

        Three classes and logits $z = (2, 1, -1)$. The exponentials are $7.39$, $2.72$ and $0.37$; they add up to
        $10.48$, and the probabilities are $0.705$, $0.259$ and $0.035$. To add 100 to all three changes nothing,
        because $e^{{100}}$ cancels; so libraries subtract the largest first, that nothing overflows. If the true
        class is the second one, the pixel pays $-\ln 0.259 = 1.35$, and the gradient for each logit is simply
        $p_k - y_k$: $(0.705,\ -0.741,\ 0.035)$. They add up to zero: what one class gains, the others lose.

        ## What goes wrong, and how one sees it

        - **Single dots**: each pixel decides alone. It looks like salt and pepper; the cure is to look at the
          neighbours.
        - **Gaps inside an object**: a highlight or a black eye has no saturation.
        - **The border is shifted**: annotation and image were reduced in different ways (lesson 3.5).
        - **All is background**: high accuracy and an IoU of zero; always look at IoU *by class*.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Un objeto cubre el 4 % de una imagen. ¿Qué exactitud tiene la máscara vacía? ¿Y qué IoU?
        """,
        en="""
        ## Exercises

        **1.** An object covers 4% of an image. What is the accuracy of the empty mask? And its IoU?
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
        The accuracy is 96%: all pixels of the background are right. IoU is 0, because no pixel is shared.
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
