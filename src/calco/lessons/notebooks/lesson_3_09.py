import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 3.9 · Las predicciones · The predictions")


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
        "3.9",
        es="""
        La red de 3.8 da probabilidades; tú decides desde cuándo creerle. Mueve el umbral y mira qué píxeles gana y
        cuáles pierde la máscara.
    """,
        en="""
        The network of 3.8 gives probabilities; you decide from where to believe it. Move the threshold, and see
        which pixels the mask gains and loses.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    threshold = t.slider(0.05, 0.95, step=0.05, value=0.5, es="umbral", en="threshold")
    number = t.slider(0, 8, value=1, es="escena de la prueba", en="scene of the test")
    kit.mo.hstack([threshold, number], justify="start")
    return number, threshold


@app.cell
def _():
    import numpy as np
    import torch

    from calco.lessons import segmenting

    net, _ = segmenting.trained(segmenting.Schedule())

    def probabilities(data):
        with torch.no_grad():
            return net(data.batch()[0]).softmax(1).numpy()

    test, validation = segmenting.labelled("test"), segmenting.labelled("val")
    p_test, p_val = probabilities(test), probabilities(validation)
    objectness = 1 - p_test[:, 0]  # probability of any object
    return np, objectness, p_test, p_val, segmenting, test, validation


@app.cell
def _(np, number, objectness, t, test, threshold):
    _mask, _true = objectness[number.value] >= threshold.value, test.classes[number.value] > 0
    marked = np.zeros((*_mask.shape, 3), np.uint8)
    marked[_mask & _true] = (240, 240, 240)
    marked[_mask & ~_true] = (230, 80, 60)
    marked[~_mask & _true] = (70, 130, 230)
    _iou = (_mask & _true).sum() / max((_mask | _true).sum(), 1)
    t.images(
        (test.images[number.value], "escena (OpenMoji, CC BY-SA 4.0)", "scene (OpenMoji, CC BY-SA 4.0)"),
        (objectness[number.value], "probabilidad de objeto", "probability of an object"),
        (
            marked,
            f"blanco: acierto; rojo: sobra; azul: falta. IoU {_iou:.2f}",
            f"white: hit; red: false; blue: missed. IoU {_iou:.2f}",
        ),
        width=250,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Elegir el umbral

        Un umbral bajo encuentra más (exhaustividad) y se equivoca más (baja la precisión). Se elige en
        **validación** y se mide en **prueba**. En la prueba ya no se elige nada.
    """,
        en="""
        ## Choosing the threshold

        A low threshold finds more (recall) and errs more (precision falls). It is chosen on **validation** and
        measured on the **test**. On the test nothing is chosen any more.
    """,
    )
    return


@app.cell
def _(kit, np, objectness, p_val, t, test, threshold, validation):
    def binary(probability, truth, at):
        mask = probability >= at
        hits = (mask & truth).sum()
        return hits / max(mask.sum(), 1), hits / truth.sum(), hits / (mask | truth).sum()

    levels = np.arange(0.05, 1, 0.05)
    curve = np.array([binary(1 - p_val[:, 0], validation.classes > 0, at) for at in levels])
    best = float(levels[curve[:, 2].argmax()])
    _figure, _axes = kit.plot()
    for _values, _name in zip(
        curve.T, (t.pick("precisión", "precision"), t.pick("exhaustividad", "recall"), "IoU"), strict=True
    ):
        _axes.plot(levels, _values, label=_name)
    _axes.axvline(threshold.value, color="black", linestyle=":")
    _axes.set(xlabel=t.pick("umbral", "threshold"))
    _axes.legend()
    _at = binary(objectness, test.classes > 0, best)
    t.image(
        _figure,
        es=f"Validación: el mejor umbral es {best:.2f}. En la prueba da IoU {_at[2]:.3f}",
        en=f"Validation: the best threshold is {best:.2f}. On the test it gives an IoU of {_at[2]:.3f}",
        width=520,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Por clase

        Con varias clases no hay un umbral, sino el $\arg\max$. La **matriz de confusión** cuenta píxeles: cada fila
        es una clase verdadera y cada columna, la que dijo la red. La IoU sale de ella:
    """,
        en=r"""
        ## By class

        With several classes there is no threshold but the $\arg\max$. The **confusion matrix** counts pixels: each
        row is a true class, each column what the network said. IoU comes from it:
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.lessons.segmenting:confusion", "calco.lessons.segmenting:ious")
    return


@app.cell
def _(kit, p_test, segmenting, t, test):
    found = p_test.argmax(1)
    table = segmenting.confusion(test.classes, found)
    per_class = segmenting.ious(table)
    share = table / table.sum(1, keepdims=True)
    _figure, _axes = kit.plot(4.4, 3.6)
    _axes.imshow(share, vmin=0, vmax=1, cmap="Blues")
    _axes.grid(visible=False)
    _axes.set(
        xticks=range(4),
        yticks=range(4),
        xticklabels=segmenting.CLASSES,
        yticklabels=segmenting.CLASSES,
        xlabel=t.pick("dijo la red", "the network said"),
        ylabel=t.pick("era", "it was"),
    )
    for _row in range(4):
        for _column in range(4):
            _axes.text(
                _column,
                _row,
                f"{share[_row, _column]:.0%}",
                ha="center",
                va="center",
                color="white" if share[_row, _column] > 0.5 else "black",
            )
    t.image(_figure, es="Cada fila suma 100 %", en="Each row adds up to 100 %", width=420)
    return found, per_class, share


@app.cell
def _(per_class, segmenting, t):
    t.table(
        [
            {t.pick("clase", "class"): name, "IoU": float(value)}
            for name, value in zip(segmenting.CLASSES, per_class, strict=True)
        ]
    )
    return


@app.cell(hide_code=True)
def _(np, per_class, segmenting, share, t, test):
    _wrong = share.copy()
    np.fill_diagonal(_wrong, 0)
    _r, _c = np.unravel_index(_wrong.argmax(), _wrong.shape)
    mean_iou = float(np.nanmean(per_class[1:]))
    t(
        es=f"""
        La IoU media sin el fondo es **{mean_iou:.3f}** en {len(test.names)} imágenes: pocas, así que el tercer
        decimal no significa nada. La confusión más frecuente: píxeles de «{segmenting.CLASSES[_r]}» que la red
        llama «{segmenting.CLASSES[_c]}», {_wrong[_r, _c]:.0%} de ellos.

        ## Los fallos

        Un promedio no dice qué arreglar. Ordena las escenas por su puntaje y mira las peores. Es un puntaje severo:
        una clase que la red ve donde no hay ninguna cuenta como 0.
    """,
        en=f"""
        The mean IoU without the background is **{mean_iou:.3f}** on {len(test.names)} images: few, so the third
        decimal means nothing. The most frequent confusion: pixels of "{segmenting.CLASSES[_r]}" that the network
        calls "{segmenting.CLASSES[_c]}", {_wrong[_r, _c]:.0%} of them.

        ## The failures

        A mean does not say what to fix. Rank the scenes by their scores, and look at the worst. The score is
        severe: a class that the network sees where there is none counts as 0.
    """,
    )
    return


@app.cell
def _(np, p_val, segmenting, t, validation):
    each = [
        float(np.nanmean(segmenting.ious(segmenting.confusion(a, b))[1:]))
        for a, b in zip(validation.classes, p_val.argmax(1), strict=True)
    ]
    worst = np.argsort(each)[:4]
    strips = np.vstack(
        [
            np.hstack(
                [
                    validation.images[i],
                    segmenting.painted(validation.classes[i]),
                    segmenting.painted(p_val[i].argmax(0)),
                ]
            )
            for i in worst
        ]
    )
    t.image(
        strips,
        es="Las cuatro peores de validación: escena, referencia, predicción. IoU "
        + ", ".join(f"{each[i]:.2f}" for i in worst),
        en="The four worst of validation: scene, ground truth, prediction. IoU "
        + ", ".join(f"{each[i]:.2f}" for i in worst),
        width=560,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Busca el patrón antes de cambiar nada: ¿objetos pequeños?, ¿tapados?, ¿de un color parecido al fondo?, ¿dos
        clases en una misma mancha? Lo último delata un campo receptivo corto o pocas imágenes: la red decide cada
        parte por separado.

        ## Ejercicios

        **1.** ¿La red está segura cuando acierta? Compara la probabilidad media de la clase elegida donde acierta y
        donde falla.
    """,
        en="""
        Look for the pattern before you change anything: small objects? Hidden ones? A colour like that of the
        ground? Two classes in one region? The last one shows a short receptive field, or few images: the network
        decides each part by itself.

        ## Exercises

        **1.** Is the network sure when it is right? Compare the mean probability of the chosen class where it is
        right, and where it is wrong.
    """,
    )
    return


@app.cell(hide_code=True)
def _(found, p_test, t, test):
    _sure, _right = p_test.max(1), found == test.classes
    t.solution(
        es=f"Donde acierta, {_sure[_right].mean():.2f}; donde falla, {_sure[~_right].mean():.2f}. La probabilidad sirve para marcar zonas que un humano debe revisar.",
        en=f"Where it is right, {_sure[_right].mean():.2f}; where it is wrong, {_sure[~_right].mean():.2f}. The probability serves to mark what a person has to review.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** De una clase hay $TP = 80$, $FP = 10$ y $FN = 30$ píxeles. Calcula precisión, exhaustividad, IoU y
        Dice.
    """,
        en="""
        **2.** A class has $TP = 80$, $FP = 10$ and $FN = 30$ pixels. Compute precision, recall, IoU and Dice.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Precisión $80/90 = 0{,}889$; exhaustividad $80/110 = 0{,}727$; IoU $80/120 = 0{,}667$; Dice $160/200 =
        0{,}8$.
    """,
        en="""
        Precision $80/90 = 0.889$; recall $80/110 = 0.727$; IoU $80/120 = 0.667$; Dice $160/200 = 0.8$.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
