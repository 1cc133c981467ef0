import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.8 · Entrenar y estudiar la U-Net · Training and studying the U-Net",
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
        "3.8",
        es="""
        Dos redes, los mismos datos, las mismas épocas. Una tiene conexiones de salto; la otra no. Entrénalas (menos
        de un minuto) y mira qué pierde la segunda.
    """,
        en="""
        Two networks, the same data, the same epochs. One has skip connections, the other has none. Train them (less
        than a minute), and see what the second one loses.
    """,
    )
    return (t,)


@app.cell
def _(t):
    import cv2
    import numpy as np
    import torch

    from calco.lessons import segmenting

    validation = segmenting.labelled("val")
    runs = {skips: segmenting.trained(segmenting.Schedule(skips=skips)) for skips in (True, False)}
    images, _ = validation.batch()
    with torch.no_grad():
        outputs = {skips: net(images) for skips, (net, _) in runs.items()}
    found = {skips: logits.argmax(1).numpy() for skips, logits in outputs.items()}
    number = t.slider(0, len(validation.names) - 1, value=6, es="escena", en="scene")
    number
    return cv2, found, np, number, runs, segmenting, torch, validation


@app.cell
def _(found, number, segmenting, t, validation):
    _i = number.value
    t.images(
        (validation.images[_i], "escena (OpenMoji, CC BY-SA 4.0)", "scene (OpenMoji, CC BY-SA 4.0)"),
        (segmenting.painted(validation.classes[_i]), "verdad de referencia", "ground truth"),
        (segmenting.painted(found[True][_i]), "con saltos", "with skips"),
        (segmenting.painted(found[False][_i]), "sin saltos", "without skips"),
        width=220,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        La pérdida es la entropía cruzada media de los píxeles: $\mathcal{L} = -\frac{1}{N}\sum_i \log p_{i, y_i}$.
        Una red que reparte $1/4$ a cada clase paga $\ln 4 = 1{,}386$: es el punto de partida de las curvas.

        La calidad se mide con otra cosa, porque el fondo abunda. Con aciertos $TP_k$, falsos positivos $FP_k$ y
        omisiones $FN_k$ de la clase $k$,

        $$\text{IoU}_k = \frac{TP_k}{TP_k + FP_k + FN_k}, \qquad \text{Dice}_k = \frac{2\,TP_k}{2\,TP_k + FP_k + FN_k} = \frac{2\,\text{IoU}_k}{1 + \text{IoU}_k}$$

        ## El código más corto

        El bucle entero: un lote, la pérdida, el gradiente, un paso. La tasa de aprendizaje sube y baja (*one
        cycle*), y la mitad de los lotes se refleja.
    """,
        en=r"""
        ## The idea

        The loss is the mean cross-entropy of the pixels: $\mathcal{L} = -\frac{1}{N}\sum_i \log p_{i, y_i}$. A
        network that gives $1/4$ to each class pays $\ln 4 = 1.386$: this is where the curves begin.

        Quality is measured by something else, because there is much background. With hits $TP_k$, false positives
        $FP_k$ and misses $FN_k$ of class $k$,

        $$\text{IoU}_k = \frac{TP_k}{TP_k + FP_k + FN_k}, \qquad \text{Dice}_k = \frac{2\,TP_k}{2\,TP_k + FP_k + FN_k} = \frac{2\,\text{IoU}_k}{1 + \text{IoU}_k}$$

        ## The smallest code

        The whole loop: a batch, the loss, the gradient, a step. The learning rate rises and falls (*one cycle*),
        and half of the batches are mirrored.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.lessons.segmenting:fit")
    return


@app.cell
def _(found, segmenting, t, validation):
    def scores(truth, found, k):
        a, b = truth == k, found == k
        hits, false, missed = (a & b).sum(), (~a & b).sum(), (a & ~b).sum()
        return hits / (hits + false + missed), 2 * hits / (2 * hits + false + missed)

    rows = [
        {t.pick("clase", "class"): name}
        | {
            f"{measure} {label}": float(scores(validation.classes, found[skips], k)[place])
            for skips, label in (
                (True, t.pick("con saltos", "with skips")),
                (False, t.pick("sin saltos", "without skips")),
            )
            for place, measure in enumerate(("IoU", "Dice"))
        }
        for k, name in enumerate(segmenting.CLASSES)
    ]
    t.table(rows)
    return


@app.cell
def _(kit, np, runs, t):
    _figure, _axes = kit.plot(7.6, 3, columns=2)
    for _skips, _label in ((True, t.pick("con saltos", "with skips")), (False, t.pick("sin saltos", "without skips"))):
        _rows = runs[_skips][1]
        _epochs = [row["epoch"] for row in _rows]
        _line = _axes[0].plot(_epochs, [row["val"] for row in _rows], label=_label)[0]
        _axes[0].plot(_epochs, [row["train"] for row in _rows], ":", color=_line.get_color())
        _axes[1].plot(_epochs, [row["iou"] for row in _rows], label=_label)
    _axes[0].axhline(np.log(4), color="grey", linewidth=0.8)
    _axes[0].set(xlabel=t.pick("época", "epoch"), ylabel=t.pick("pérdida", "loss"))
    _axes[1].set(xlabel=t.pick("época", "epoch"), ylabel=t.pick("IoU media sin fondo", "mean IoU without background"))
    _axes[1].legend()
    t.image(
        _figure,
        es="Izquierda: pérdida de validación (línea) y de entrenamiento (puntos); gris: ln 4. Derecha: IoU",
        en="Left: loss of validation (line) and training (dots); grey: ln 4. Right: IoU",
        width=720,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Dice es un F1

        Una máscara es una lista de decisiones sí o no. Su precisión es $P = \frac{TP}{TP + FP}$ y su exhaustividad,
        $S = \frac{TP}{TP + FN}$. El **F1** es la media armónica de las dos:

        $$F_1 = \frac{2PS}{P + S} = \frac{2\,\frac{TP^2}{(TP+FP)(TP+FN)}}{\frac{TP\,(2TP + FP + FN)}{(TP+FP)(TP+FN)}} = \frac{2\,TP}{2\,TP + FP + FN} = \text{Dice}$$

        Los verdaderos negativos no aparecen en ninguna parte: por eso el fondo no infla el puntaje. Y de la última
        fracción, dividiendo arriba y abajo entre $TP + FP + FN$, sale la relación con la IoU que está más arriba.

        Como la IoU cuenta decisiones, no tiene gradiente. El **Dice blando** cambia cada decisión por su
        probabilidad $p_i$ y se puede entrenar:

        $$\mathcal{L}_{\text{Dice}} = 1 - \frac{2\sum_i p_i y_i + \epsilon}{\sum_i p_i + \sum_i y_i + \epsilon}$$

        ¿En qué se distingue de la entropía cruzada? En lo que pesa un objeto. Mira el empuje (la suma del valor
        absoluto del gradiente) que reciben los píxeles del objeto, frente al que recibe todo el fondo, cuando la
        red aún dice 0,1 en todas partes:
        """,
        en=r"""
        ## Dice is an F1

        A mask is a list of decisions, yes or no. Its precision is $P = \frac{TP}{TP + FP}$, its recall $S =
        \frac{TP}{TP + FN}$. The **F1** is the harmonic mean of the two:

        $$F_1 = \frac{2PS}{P + S} = \frac{2\,\frac{TP^2}{(TP+FP)(TP+FN)}}{\frac{TP\,(2TP + FP + FN)}{(TP+FP)(TP+FN)}} = \frac{2\,TP}{2\,TP + FP + FN} = \text{Dice}$$

        True negatives appear nowhere: this is why the background does not inflate the score. And the last fraction,
        with top and bottom divided by $TP + FP + FN$, gives the relation with IoU that stands above.

        IoU counts decisions, so it has no gradient. The **soft Dice** puts the probability $p_i$ in place of each
        decision, and can be trained:

        $$\mathcal{L}_{\text{Dice}} = 1 - \frac{2\sum_i p_i y_i + \epsilon}{\sum_i p_i + \sum_i y_i + \epsilon}$$

        How does it differ from cross-entropy? In the weight of an object. Look at the push (the sum of the absolute
        gradient) on the pixels of the object, beside that on all the background, while the network still says 0.1
        everywhere:
        """,
    )
    return


@app.cell
def _(t, torch):
    def pushes(side, canvas=96):
        """Push on the object's pixels divided by that on the background's, for cross-entropy and for soft Dice."""
        truth = torch.zeros(canvas, canvas)
        truth[:side, :side] = 1
        found = []
        for loss in (
            lambda p: torch.nn.functional.binary_cross_entropy(p, truth),
            lambda p: 1 - 2 * (p * truth).sum() / (p.sum() + truth.sum()),
        ):
            logits = torch.full((canvas, canvas), -2.197, requires_grad=True)  # sigmoid(-2.197) = 0.1
            loss(logits.sigmoid()).backward()
            push = logits.grad.abs()
            found.append(float(push[truth > 0].sum() / push[truth == 0].sum()))
        return found

    t.table(
        [
            {
                t.pick("objeto de 96 × 96", "object of 96 × 96"): f"{side} × {side}",
                t.pick("entropía cruzada", "cross-entropy"): pushes(side)[0],
                t.pick("Dice blando", "soft Dice"): pushes(side)[1],
            }
            for side in (4, 8, 16, 32)
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Con entropía cruzada, un objeto de 4 × 4 empuja cerca de sesenta veces menos que el fondo: la red gana más
        callándolo. Con Dice el empuje es mayor en todos los tamaños. El precio: su gradiente es ruidoso cuando en
        el lote casi no hay objeto ($\epsilon$ evita el 0/0), y sus probabilidades salen exageradas, cerca de 0 y de 1.
        Por eso se suele sumar las dos pérdidas.

        ## La IoU de los bordes

        La IoU de un objeto grande casi no siente su borde: en un cuadrado de lado $a$, un error de un píxel a cada
        lado cuesta $4/a$. La **IoU de bordes** (Cheng y otros, 2021) compara solo las franjas de ancho $d$ junto al
        contorno, *dentro* de cada máscara:

        $$\text{IoU}_{\text{borde}} = \frac{|(G_d \cap G) \cap (P_d \cap P)|}{|(G_d \cap G) \cup (P_d \cap P)|}$$
        """,
        en=r"""
        Under cross-entropy an object of 4 × 4 pushes about sixty times less than the background: the network gains
        more by ignoring it. Under Dice the push is greater at each size. The price: its gradient is noisy where a
        batch has hardly any object ($\epsilon$ avoids 0/0), and its probabilities are exaggerated, near 0 and 1. So
        the two losses are often added.

        ## Boundary IoU

        The IoU of a large object hardly feels its border: for a square of side $a$, an error of one pixel on each
        side costs $4/a$. **Boundary IoU** (Cheng and others, 2021) compares only the strips of width $d$ beside the
        outline, *inside* each mask:

        $$\text{IoU}_{\text{boundary}} = \frac{|(G_d \cap G) \cap (P_d \cap P)|}{|(G_d \cap G) \cup (P_d \cap P)|}$$
        """,
    )
    return


@app.cell
def _(cv2, found, np, t, validation):
    def strip(mask, width):
        """The pixels of a mask that are within `width` pixels of its outline."""
        around = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        return mask & (cv2.distanceTransform(around, cv2.DIST_L2, 3)[1:-1, 1:-1] <= width)

    def both_ious(skips, width=2):
        """IoU and boundary IoU of objects against background, over all scenes."""
        truth, guess = validation.classes > 0, found[skips] > 0
        a = np.stack([strip(each, width) for each in truth])
        b = np.stack([strip(each, width) for each in guess])
        return (truth & guess).sum() / (truth | guess).sum(), (a & b).sum() / (a | b).sum()

    t.table(
        [
            {
                "": name,
                "IoU": float(both_ious(skips)[0]),
                t.pick("IoU de bordes", "boundary IoU"): float(both_ious(skips)[1]),
            }
            for skips, name in (
                (True, t.pick("con saltos", "with skips")),
                (False, t.pick("sin saltos", "without skips")),
            )
        ]
    )
    return


@app.cell(hide_code=True)
def _(cv2, found, np, t, validation):
    edges = np.stack(
        [
            cv2.dilate((mask > 0).astype(np.uint8), np.ones((5, 5)))
            - cv2.erode((mask > 0).astype(np.uint8), np.ones((5, 5)))
            for mask in validation.classes
        ]
    ).astype(bool)
    errors = {skips: found[skips] != validation.classes for skips in (True, False)}
    near = {skips: errors[skips][edges].mean() for skips in errors}
    far = {skips: errors[skips][~edges].mean() for skips in errors}
    t(
        es=f"""
        ## Qué muestra

        Separa los errores en dos: una franja de dos píxeles a cada lado de los bordes, y el resto.

        | | errores cerca del borde | errores lejos |
        |---|---|---|
        | con saltos | {near[True]:.1%} | {far[True]:.2%} |
        | sin saltos | {near[False]:.1%} | {far[False]:.2%} |

        Las conexiones de salto traen el detalle que el fondo de la «U» ya no tiene: compara ambas columnas. La
        pérdida de validación puede bajar mientras la IoU salta de una época a otra: la entropía cruzada mira
        probabilidades y la IoU, decisiones. Por eso se elige el modelo con la métrica que importa, y no con la
        pérdida.
        """,
        en=f"""
        ## What it shows

        Separate the errors in two: a strip of two pixels on either side of the borders, and the rest.

        | | errors near the border | errors elsewhere |
        |---|---|---|
        | with skips | {near[True]:.1%} | {far[True]:.2%} |
        | without skips | {near[False]:.1%} | {far[False]:.2%} |

        Skip connections bring the detail that the bottom of the "U" no longer has: compare the columns. The loss of
        validation may fall while IoU jumps from epoch to epoch: cross-entropy looks at probabilities, IoU at
        decisions. So the model is chosen by the metric that matters, and not by the loss.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Leer un entrenamiento

        | lo que ves | lo que suele ser | qué pruebas |
        |---|---|---|
        | la pérdida se queda en $\ln 4$ | el gradiente no llega, o la tasa es mil veces muy pequeña | sobreajusta un solo lote: debe llegar casi a 0 |
        | baja y salta a *nan* | la tasa es muy alta | divídela entre 10 |
        | entrenamiento baja, validación sube | sobreajuste | aumento, menos épocas, el mejor punto guardado |
        | la exactitud es alta y la IoU casi 0 | todo es fondo | pesos por clase, Dice |
        | IoU buena, IoU de bordes mala | faltan saltos o resolución | mira la franja, no el promedio |
        | la validación mejora más que el entrenamiento | aumento fuerte, o fuga | revisa los grupos de 3.5 |

        La primera prueba de cualquier red nueva es esa: que aprenda de memoria ocho imágenes. Si no puede, el fallo
        está en el código, no en los datos.
        """,
        en=r"""
        ## Reading a training

        | what you see | what it usually is | what you try |
        |---|---|---|
        | the loss stays at $\ln 4$ | no gradient arrives, or the rate is a thousand times too small | overfit a single batch: it must come near 0 |
        | it falls and jumps to *nan* | the rate is too high | divide it by 10 |
        | training falls, validation rises | overfitting | augmentation, fewer epochs, the best saved weights |
        | high accuracy, IoU near 0 | all is background | class weights, Dice |
        | good IoU, bad boundary IoU | skips or resolution are missing | look at the strip, not at the mean |
        | validation improves more than training | strong augmentation, or a leak | check the groups of 3.5 |

        The first test of any new network is that one: that it learns eight images by heart. If it cannot, the fault
        is in the code, not in the data.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Una IoU de 0,5, ¿a qué Dice equivale? ¿Cuál de las dos premia más?
        """,
        en="""
        ## Exercises

        **1.** To which Dice is an IoU of 0.5 equal? Which of the two is kinder?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $2 \cdot 0{,}5 / 1{,}5 = 0{,}667$. Dice siempre es mayor o igual; ordenan igual los modelos de una imagen,
        pero sus promedios pueden diferir.
    """,
        en=r"""
        $2 \cdot 0.5 / 1.5 = 0.667$. Dice is always greater or equal; they rank the models of one image alike, but
        their means may differ.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Una IoU de bordes con $d$ enorme, ¿a qué es igual? ¿Y qué pasa con un objeto de 3 píxeles de ancho y
        $d = 2$?
        """,
        en="""
        **2.** To what is a boundary IoU with a huge $d$ equal? And what happens with an object 3 pixels wide and $d
        = 2$?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Con $d$ enorme la franja es toda la máscara y queda la IoU común. Un objeto de 3 píxeles de ancho está
        entero dentro de la franja: las dos medidas coinciden. La diferencia existe solo en los objetos grandes, que
        es donde la IoU es ciega.
        """,
        en="""
        With a huge $d$ the strip is the whole mask, and it is the plain IoU. An object 3 pixels wide lies in the
        strip entirely: both measures agree. They differ for large objects only, which is where IoU is blind.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Entrena con `segmenting.fit(segmenting.Schedule(epochs=4))`. ¿Qué clase aprende primero?
    """,
        en="""
        **3.** Train with `segmenting.fit(segmenting.Schedule(epochs=4))`. Which class does it learn first?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        El fondo: cubre la mayor parte de los píxeles y con él baja antes la pérdida media. Los objetos aparecen
        primero como manchas sin clase segura, y las clases se separan después.
    """,
        en="""
        The background: it covers most of the pixels, and the mean loss falls first by it. Objects appear first as
        regions without a certain class, and the classes separate later.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
