import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.19 · Ajuste fino: los resultados · Fine-tuning: the results")


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
        "2.19",
        es="""
        ¿Qué tan bueno es? Mueve el umbral: la precisión, la exhaustividad y los errores cambian juntos, porque un
        detector no tiene *un* resultado, sino una curva de ellos. Y cada número lleva su intervalo.
        """,
        en="""
        How good is it? Move the threshold: precision, recall and errors change together, for a detector does not have
        *one* result but a curve of them. And each number has its interval.
        """,
    )
    return (t,)


@app.cell
def _():
    from calco.detection import DetectEvaluateConfig, draw_detections, evaluate
    from calco.lessons import scenes

    fresh = scenes.scenes(60, seed=1)  # sixty new scenes on new grounds, with the same 18 drawings
    result = evaluate(
        DetectEvaluateConfig(
            model=str(scenes.detector()), images=str(fresh), part="all", resamples=300, device="cpu", precision="fp32",
            out=str(scenes.data_folder() / "detector-report"),
        )
    )  # fmt: skip
    card = result.card
    return card, draw_detections, result


@app.cell
def _(card, t):
    threshold = t.slider(0.02, 0.9, step=0.02, value=round(card.threshold / 0.02) * 0.02, es="umbral", en="threshold")
    threshold
    return (threshold,)


@app.cell
def _(card, kit, t, threshold):
    _point = min(card.thresholds, key=lambda row: abs(row[0] - threshold.value))
    _figure, (_left, _right) = kit.plot(9, 3.3, columns=2)
    for _name, _points in card.curves.items():
        _left.plot([p[0] for p in _points], [p[1] for p in _points], label=_name)
    _left.plot([_point[2]], [_point[1]], "o", color="black", label=t.pick("tu umbral, todas", "your threshold, all"))
    _left.set(
        xlabel=t.pick("exhaustividad (recall)", "recall"),
        ylabel=t.pick("precisión", "precision"),
        xlim=(0, 1.02),
        ylim=(0, 1.02),
    )
    _left.legend(fontsize=8)
    for _column, _label in ((1, t.pick("precisión", "precision")), (2, t.pick("exhaustividad", "recall")), (3, "F1")):
        _right.plot([row[0] for row in card.thresholds], [row[_column] for row in card.thresholds], label=_label)
    _right.axvline(threshold.value, color="black", linewidth=0.8)
    _right.set(xlabel=t.pick("umbral", "threshold"))
    _right.legend(fontsize=8)
    t.image(_figure, width=840,
            es=f"Con umbral {_point[0]:.2f}: precisión {_point[1]:.2f}, exhaustividad {_point[2]:.2f}, F1 {_point[3]:.2f}",
            en=f"At threshold {_point[0]:.2f}: precision {_point[1]:.2f}, recall {_point[2]:.2f}, F1 {_point[3]:.2f}")  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        *Escenas con dibujos de OpenMoji, CC BY-SA 4.0.*

        ## Los números y sus intervalos

        La validación eligió el umbral y el paso, así que ya no es neutral; y la prueba del conjunto tiene solo nueve
        imágenes. Por eso se fabricaron 60 escenas nuevas. Aun así, 60 es una muestra: con otras 60 saldría otro
        número. El **bootstrap** dice cuánto podría variar: se sortean 60 imágenes *con reemplazo* muchas veces, se
        puntúa cada sorteo, y el intervalo es lo que queda entre los percentiles 2,5 y 97,5. Las imágenes del mismo
        fondo se sortean juntas.

        Y ningún número se entiende solo: a su lado va una **línea base** que no mira la imagen y responde siempre la
        caja media de cada clase.
        """,
        en="""
        *Scenes with drawings by OpenMoji, CC BY-SA 4.0.*

        ## The numbers and their intervals

        Validation chose the threshold and the step, so it is no longer neutral; and the test of the set has nine
        images alone. So 60 new scenes were made. Even so, 60 is a sample: another 60 would give another number. The
        **bootstrap** says by how much it may vary: 60 images are sampled *with replacement* many times, each sample is
        scored, and the interval is what lies between the percentiles 2.5 and 97.5. Images on one ground are sampled
        together.

        And no number means anything alone: beside it stands a **baseline** that does not look at the image, and always
        answers the mean box of each class.
        """,
    )
    return


@app.cell
def _(card, t):
    def shown(score):
        return f"{score.mean:.2f}" + ("" if score.low is None else f" [{score.low:.2f}, {score.high:.2f}]")

    ours, mean_box = card.systems["the detector"], card.systems["mean box"]
    t.table(
        [
            {t.pick("medida", "measure"): name, t.pick("el detector", "the detector"): shown(ours[key]),
             t.pick("caja media", "mean box"): shown(mean_box[key])}
            for key, name in (("map", "mAP50-95"), ("map50", "mAP50"), ("map75", "mAP75"), ("f1", "F1"),
                              ("precision", t.pick("precisión", "precision")), ("recall", t.pick("exhaustividad", "recall")),
                              ("wrong", t.pick("falsas alarmas por imagen", "false alarms per image")))
        ]
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Compara la fila de mAP50 con la de mAP75: el detector encuentra los objetos mucho mejor de lo que ajusta sus
        cajas. Es lo normal con 96 píxeles y 160 pasos. Cómo se hace el cálculo, con la precisión leída en 101
        exhaustividades:
        """,
        en="""
        Compare the row of mAP50 with that of mAP75: the detector finds objects much better than it fits their boxes.
        This is usual with 96 pixels and 160 steps. The computation, with precision read at 101 recalls:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.metrics:_areas")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué confunde con qué

        La **matriz de confusión** pone la clase verdadera en las filas y la predicha en las columnas, con el umbral
        del modelo. La última columna son los objetos perdidos; la última fila, las cajas donde no hay nada de eso.
        """,
        en="""
        ## What it takes for what

        The **confusion matrix** has true classes in rows and predicted ones in columns, at the model's threshold. The
        last column is missed objects; the last row, boxes where there is no such thing.
        """,
    )
    return


@app.cell
def _(card, kit, t):
    _names = [*card.classes, t.pick("fondo", "background")]
    _figure, _axes = kit.plot(4.2, 3.6)
    _axes.grid(visible=False)
    _axes.imshow(card.confusion, cmap="Blues")
    _dark = max(map(max, card.confusion)) / 2  # above it the ground is dark
    for _row, _line in enumerate(card.confusion):
        for _column, _value in enumerate(_line):
            _ink = "white" if _value > _dark else "black"
            _axes.text(_column, _row, str(_value), ha="center", va="center", color=_ink)
    _axes.set_xticks(range(len(_names)), _names)
    _axes.set_yticks(range(len(_names)), _names)
    _axes.set(xlabel=t.pick("predicha", "predicted"), ylabel=t.pick("verdadera", "true"))
    _kinds_es = {
        "other class": "otra clase",
        "second box": "segunda caja",
        "loose": "caja floja",
        "nothing there": "nada ahí",
    }
    t.image(_figure, width=420,
            es="Falsas alarmas: " + ", ".join(f"{_kinds_es[name]} {number}" for name, number in card.kinds.items()),
            en="False alarms: " + ", ".join(f"{name} {number}" for name, number in card.kinds.items()))  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Las peores primero

        Los promedios esconden; las imágenes muestran. Se miran primero las que tienen más errores:
        """,
        en="""
        ## The worst first

        Averages hide; images show. Those with the most errors come first:
        """,
    )
    return


@app.cell
def _(card, draw_detections, result, t):
    worst = sorted(range(len(card.images)), key=lambda i: -card.images[i].errors)[:4]
    t.images(
        *(
            (draw_detections(result.source.load(result.items[i]).image, result.judgements[i].found, card.classes),
             f"{card.images[i].errors} errores en {card.images[i].objects} objetos",
             f"{card.images[i].errors} errors in {card.images[i].objects} objects")
            for i in worst
        ),
        width=230,
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Busca el patrón: ¿objetos tapados, pegados, pequeños, cortados por el borde? Cada patrón es una tarea: más
        datos de ese caso, más tamaño (`--size`), otro umbral de supresión. `calco detect evaluate` escribe todo esto
        en una página que se abre sin red.

        Y recuerda lo que este resultado **no** dice: los dibujos de la prueba son los del entrenamiento. En la lección
        2.14 viste qué pasa con otros.

        ## Ejercicios

        **1.** Dos detectores tienen mAP50 de 0,86 [0,80; 0,91] y 0,83 [0,77; 0,89] en las mismas 60 imágenes. ¿Cuál
        es mejor?
        """,
        en="""
        Look for the pattern: are objects hidden, touching, small, cut by the border? Each pattern is a task: more data
        of that case, a larger `--size`, another limit of suppression. `calco detect evaluate` writes all of this onto
        a page that opens without a network.

        And remember what this result does **not** say: the drawings of the test are those of training. In lesson 2.14
        you saw what happens with others.

        ## Exercises

        **1.** Two detectors have a mAP50 of 0.86 [0.80, 0.91] and 0.83 [0.77, 0.89] on the same 60 images. Which is
        better?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Estas imágenes no lo dicen: los intervalos se solapan casi enteros. Lo correcto es remuestrear la **diferencia** en las
        mismas imágenes (su intervalo es más angosto, porque lo difícil es difícil para ambos) o conseguir más imágenes. Con
        cuatro veces más, el intervalo mide más o menos la mitad.
        """,
        en="""
        These images do not say: the intervals overlap almost as a whole. The right thing is to resample the **difference** on
        the same images (its interval is narrower, as what is difficult is difficult for both), or to get more images. With four
        times as many, the interval is about half as wide.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** De la matriz, calcula la exhaustividad de cada clase. ¿Por qué no coincide exactamente con leerla de la
        curva?
        """,
        en="""
        **2.** From the matrix, compute the recall of each class. Why does it not agree exactly with what is read off
        the curve?
        """,
    )
    return


@app.cell(hide_code=True)
def _(card, t):
    _each = ", ".join(
        f"{name} {card.confusion[i][i] / max(1, sum(card.confusion[i])):.2f}" for i, name in enumerate(card.classes)
    )
    t.solution(
        es=f"""
        La diagonal entre la suma de la fila: {_each}. La matriz está en *un* umbral ({card.threshold:.2f}); la curva los recorre
        todos. En el punto de ese umbral coinciden.
        """,
        en=f"""
        The diagonal over the sum of the row: {_each}. The matrix is at *one* threshold ({card.threshold:.2f}); the curve runs
        through them all. At the point of that threshold they agree.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Este detector avisará a un guardia, que revisa cada aviso. Perder un objeto cuesta 20 veces lo que una
        falsa alarma. ¿Qué umbral eliges? Usa `card.thresholds`.
        """,
        en="""
        **3.** This detector will alert a guard, who checks each alert. To miss an object costs 20 times as much as a
        false alarm. Which threshold do you choose? Use `card.thresholds`.
        """,
    )
    return


@app.cell(hide_code=True)
def _(card, t):
    _objects = sum(each.objects for each in card.images)

    def cost(row):
        _, precision, recall, _ = row
        found = recall * _objects
        return 20 * (_objects - found) + found * (1 / max(precision, 1e-9) - 1)

    cheapest = min(card.thresholds, key=cost)
    t.solution(
        es=f"""
        Perdidos: $n(1-r)$; falsas alarmas: $n r (1/p - 1)$. El costo $20\\,n(1-r) + n r(1/p-1)$ es mínimo con el umbral
        **{cheapest[0]:.2f}** (precisión {cheapest[1]:.2f}, exhaustividad {cheapest[2]:.2f}), más bajo que el del F1
        ({card.best_threshold:.2f}). El F1 pesa igual ambos errores; tu problema, casi nunca.
        """,
        en=f"""
        Missed: $n(1-r)$; false alarms: $n r (1/p - 1)$. The cost $20\\,n(1-r) + n r(1/p-1)$ is least at the threshold
        **{cheapest[0]:.2f}** (precision {cheapest[1]:.2f}, recall {cheapest[2]:.2f}), below that of F1
        ({card.best_threshold:.2f}). F1 weighs both errors equally; your problem hardly ever does.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
