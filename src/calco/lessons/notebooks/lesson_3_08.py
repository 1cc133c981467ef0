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
    return found, np, number, runs, segmenting, validation


@app.cell
def _(found, number, segmenting, t, validation):
    _i = number.value
    t.images(
        (validation.images[_i], "escena (OpenMoji, CC BY-SA 4.0)", "scene (OpenMoji, CC BY-SA 4.0)"),
        (segmenting.painted(validation.classes[_i]), "anotación de referencia", "ground truth"),
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
def _(found, np, t, validation):
    import cv2

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

        ## Ejercicios

        **1.** Una IoU de 0,5, ¿a qué Dice equivale? ¿Cuál de las dos premia más?
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
        **2.** Entrena con `segmenting.fit(segmenting.Schedule(epochs=4))`. ¿Qué clase aprende primero?
    """,
        en="""
        **2.** Train with `segmenting.fit(segmenting.Schedule(epochs=4))`. Which class does it learn first?
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
