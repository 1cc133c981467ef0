import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.18 · Ajuste fino: el entrenamiento · Fine-tuning: the training")


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
        "2.18",
        es="""
        Ciento sesenta pasos, menos de un minuto de un núcleo. Estas son las curvas de un entrenamiento de verdad, y
        las del mismo sin pesos preentrenados. Aprender a leerlas es media profesión.
        """,
        en="""
        A hundred and sixty steps, less than a minute of one core. These are the curves of a real training, and those
        of the same one without pretrained weights. To read them is half of the trade.
        """,
    )
    return (t,)


@app.cell
def _():
    import json

    import numpy as np

    from calco.lessons import scenes

    runs = {name: scenes.detector(name) for name in ("auto", "scratch")}  # trained the first time; then on the disk
    logs = {
        name: [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        for name, run in runs.items()
    }
    labels = {"auto": ("backbone de ImageNet", "ImageNet backbone"), "scratch": ("pesos al azar", "random weights")}
    return labels, logs, np


@app.cell
def _(kit, t):
    part = t.dropdown(
        {"class": ("pérdida de clase", "class loss"), "box": ("pérdida de caja", "box loss")},
        value="box",
        es="curva",
        en="curve",
    )
    smooth = t.slider(0, 0.95, step=0.05, value=0.6, es="suavizado", en="smoothing")
    kit.mo.hstack([part, smooth], justify="start", wrap=True)
    return part, smooth


@app.cell
def _(kit, labels, logs, part, smooth, t):
    def smoothed(values, share):
        result, before = [], values[0]
        for value in values:
            before = share * before + (1 - share) * value
            result.append(before)
        return result

    _figure, (_left, _right) = kit.plot(9, 3.2, columns=2)
    best = {}
    for _name, _rows in logs.items():
        _train = [row for row in _rows if "train" in row]
        _checks = [row for row in _rows if "validation" in row]
        best[_name] = max(row["validation"]["map50"] for row in _checks)
        _left.plot(
            [row["step"] for row in _train],
            smoothed([row["train"][part.value] for row in _train], smooth.value),
            label=t.pick(*labels[_name]),
        )
        _right.plot(
            [row["step"] for row in _checks],
            [row["validation"]["map50"] for row in _checks],
            marker="o",
            label=t.pick(*labels[_name]),
        )
    _left.set(xlabel=t.pick("paso", "step"), ylabel=t.pick("pérdida", "loss"))
    _right.set(xlabel=t.pick("paso", "step"), ylabel=t.pick("mAP50, validación", "mAP50, validation"), ylim=(-0.02, 1))
    _left.legend()
    t.image(_figure, width=820,
            es=f"A los mismos pasos: mAP50 = {best['auto']:.3f} con ImageNet, {best['scratch']:.3f} al azar",
            en=f"At equal steps: mAP50 = {best['auto']:.3f} with ImageNet, {best['scratch']:.3f} at random")  # fmt: skip
    return (smoothed,)


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Cada paso toma un lote de 8 imágenes aumentadas, calcula la pérdida y mueve los pesos contra su gradiente. La
        pérdida de un detector tiene dos partes:

        $$L = \underbrace{L_{\text{clase}}}_{\text{¿qué hay en cada punto?}} + \;2{,}5\,
        \underbrace{(1 - \text{GIoU})}_{\text{¿dónde termina?}}$$

        La de **clase** no pide «1» en cada acierto: pide como puntaje *la calidad de la caja* (pérdida varifocal),
        para que ordenar por puntaje sea ordenar por IoU. Por eso no baja a cero aunque todo vaya bien. La de **caja**
        es la GIoU de la lección 2.4.

        Un paso cabe en una pantalla: hacia adelante, pérdidas, hacia atrás, actualizar.
        """,
        en=r"""
        ## The idea

        Each step takes a batch of 8 augmented images, computes the loss, and moves the weights against its gradient.
        The loss of a detector has two parts:

        $$L = \underbrace{L_{\text{class}}}_{\text{what is at each point?}} + \;2.5\,
        \underbrace{(1 - \text{GIoU})}_{\text{where does it end?}}$$

        That of the **class** does not ask for “1” at each hit: it asks for *the quality of the box* as the score
        (varifocal loss), so that to sort by score is to sort by IoU. This is why it does not fall to zero even if all
        goes well. That of the **box** is the GIoU of lesson 2.4.

        A step fits on a screen: forward, losses, backward, update.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.learning.train:DetectorNetworks.step")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Con qué opciones

        La configuración entera es un dato que se guarda con el entrenamiento. En la terminal serían opciones de
        `calco detect train`; aquí, la función que las reúne:
        """,
        en="""
        ## With which options

        The whole configuration is data that is kept with the training. In a terminal these would be options of
        `calco detect train`; here is the function that gathers them:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.lessons.scenes:detector_config")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Cuatro decisiones que vale la pena entender:

        **La tasa de aprendizaje** $\eta$ sube en los primeros pasos (*warm-up*) y luego baja como un coseno hasta casi
        cero: $\eta_k = \eta\,\min(1, k/w)\,\left[\,f + (1-f)\,\tfrac{1 + \cos \pi p}{2}\right]$, con $p$ la parte
        hecha y $f = 0{,}02$. Por eso un entrenamiento de 160 pasos **no** es el comienzo de uno de 1600: aquel ya
        aterrizó.

        **El promedio de pesos** (EMA): se valida y se guarda $\bar\theta_k = d\,\bar\theta_{k-1} + (1-d)\,\theta_k$.
        Recuerda unos $1/(1-d)$ pasos. Mueve $d$:
        """,
        en=r"""
        Four decisions that are worth understanding:

        **The learning rate** $\eta$ rises over the first steps (warm-up), then falls like a cosine almost to zero:
        $\eta_k = \eta\,\min(1, k/w)\,\left[\,f + (1-f)\,\tfrac{1 + \cos \pi p}{2}\right]$, with $p$ the share that is
        done and $f = 0.02$. So a training of 160 steps is **not** the start of one of 1600: it has landed already.

        **The average of weights** (EMA): $\bar\theta_k = d\,\bar\theta_{k-1} + (1-d)\,\theta_k$ is validated and kept.
        It remembers some $1/(1-d)$ steps. Move $d$:
        """,
    )
    return


@app.cell
def _(t):
    decay = t.slider(steps=[0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.998], value=0.95, es="d (--ema)", en="d (--ema)")
    decay
    return (decay,)


@app.cell
def _(decay, kit, logs, np, smoothed, t):
    _steps = np.arange(160)
    _rng = np.random.default_rng(0)
    weight = (
        1 - np.exp(-_steps / 30) + _rng.normal(0, 0.15, 160)
    )  # a weight on its way to 1, as noisy gradients move it
    average = np.array(smoothed(list(np.concatenate([[0.0], weight])), decay.value))[1:]
    behind = float(abs(average[-1] - 1))
    _figure, (_left, _right) = kit.plot(9, 3, columns=2)
    _rates = [(row["step"], row["rate"]) for row in logs["auto"] if "rate" in row]
    _left.plot(*zip(*_rates, strict=True))
    _left.set(xlabel=t.pick("paso", "step"), ylabel=t.pick("tasa de aprendizaje", "learning rate"))
    _right.plot(weight, alpha=0.5, label=t.pick("un peso", "a weight"))
    _right.plot(average, label="EMA")
    _right.set(xlabel=t.pick("paso", "step"))
    _right.legend()
    t.image(_figure, width=820,
            es=f"Izquierda: la tasa registrada. Derecha: con d = {decay.value} se promedian unos {1 / (1 - decay.value):.0f} "
            f"pasos y el promedio termina a {behind:.2f} de la meta",
            en=f"Left: the rate as logged. Right: d = {decay.value} averages some {1 / (1 - decay.value):.0f} steps, and the "
            f"average ends {behind:.2f} from the goal")  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Con $d = 0{,}998$ (lo que conviene en miles de pasos) el promedio de 160 pasos todavía recuerda los pesos del
        comienzo.

        **El punto de control que se guarda** es el de mejor validación, no el último. Y **la semilla y los hilos**
        quedan fijos: en CPU, con el mismo número de hilos, el entrenamiento se repite bit por bit.

        ## Cómo se leen las curvas

        - *Entrenamiento baja, validación sube*: todo bien, sigue.
        - *Entrenamiento baja, validación se estanca o cae*: sobreajuste. Más datos, más aumento, o parar antes.
        - *Ninguna se mueve*: tasa muy baja, o datos mal leídos. Mira la hoja de la lección 2.13.
        - *Saltos o NaN*: tasa muy alta.
        - *La pérdida baja y el mAP sigue en cero*, como en la curva sin preentrenar: la red ya aprendió que casi todo
          es fondo, y eso baja la pérdida sin encontrar nada. **La pérdida no es la métrica.**

        ## Ejercicios

        **1.** Con 119 imágenes y lotes de 8, ¿cuántas épocas son 160 pasos?
        """,
        en="""
        With $d = 0.998$ (which suits thousands of steps) the average of 160 steps still remembers the weights of the
        start.

        **The checkpoint that is kept** is the one with the best validation, not the last. And **seed and threads** are
        fixed: on a CPU with the same number of threads, training repeats bit for bit.

        ## How to read the curves

        - *Training falls, validation rises*: all is well, go on.
        - *Training falls, validation stalls or falls*: overfitting. More data, more augmentation, or stop earlier.
        - *Neither moves*: too low a rate, or data that are read wrongly. Look at the sheet of lesson 2.13.
        - *Jumps or NaN*: too high a rate.
        - *The loss falls and mAP stays at zero*, as in the curve without pretraining: the network has learned that
          almost everything is background, which lowers the loss and finds nothing. **The loss is not the metric.**

        ## Exercises

        **1.** With 119 images and batches of 8, how many epochs are 160 steps?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    _epochs = 160 / (119 // 8)
    t.solution(
        es=f"""119 // 8 = {119 // 8} lotes completos por época: 160 / {119 // 8} = {_epochs:.1f} épocas. Cada imagen se vio unas once
        veces, cada vez con otro aumento.""",
        en=f"""119 // 8 = {119 // 8} full batches an epoch: 160 / {119 // 8} = {_epochs:.1f} epochs. Each image was seen some eleven
        times, each time with another augmentation.""",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Demuestra la comparación que sin preentrenar *no se puede*?
        """,
        en="""
        **2.** Does the comparison show that it *cannot be done* without pretraining?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        No. Demuestra que no alcanza con **estos pasos y estos datos**. Con muchos más pasos es de esperar que la otra curva
        suba. Comparar a igual número de pasos (o de minutos) es lo justo cuando el presupuesto es fijo, y hay que decirlo.
        También habría que repetir con varias semillas: una sola corrida por lado es una anécdota, aunque aquí la distancia sea
        enorme.
        """,
        en="""
        No. It shows that **these steps and these data** are not enough. With many more steps, the lower curve can be expected
        to rise too. To compare at equal steps (or minutes) is fair for a fixed budget, and has to be said. It should also be
        repeated with several seeds: one run on each side is an anecdote, even if the distance is huge here.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
