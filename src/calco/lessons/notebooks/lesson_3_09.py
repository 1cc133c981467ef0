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
        La red de 3.8 da probabilidades; tú decides desde cuándo creerle. Mueve el umbral y mira qué píxeles gana y cuáles
        pierde la máscara. Después: si esas probabilidades dicen la verdad, qué errores no ve la IoU, qué se gana sin
        volver a entrenar y cuántos decimales de tu puntaje significan algo.
    """,
        en="""
        The network of 3.8 gives probabilities; you decide from where to believe it. Move the threshold, and see which
        pixels the mask gains and loses. Then: whether those probabilities are true, which errors IoU does not see, what is
        gained without training again, and how many decimals of your score mean anything.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    threshold = t.slider(0.05, 0.95, step=0.05, value=0.5, es="umbral", en="threshold")
    number = t.slider(0, 58, value=1, es="escena de la prueba", en="scene of the test")
    kit.mo.hstack([threshold, number], justify="start", wrap=True)
    return number, threshold


@app.cell
def _():
    import cv2
    import numpy as np
    import torch

    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes

    net, _ = segmenting.trained(segmenting.Schedule())

    def logits_of(images):
        with torch.no_grad():
            return net(images)

    # The test of 3.5 has nine scenes, too few for this lesson: these are new ones, on grounds that nobody has seen.
    test = segmenting.labelled("train", folder=scenes(80, seed=7))
    validation = segmenting.labelled("val")
    logits_test, logits_val = logits_of(test.batch()[0]), logits_of(validation.batch()[0])
    p_test, p_val = logits_test.softmax(1).numpy(), logits_val.softmax(1).numpy()
    objectness = 1 - p_test[:, 0]  # probability of any object
    return cv2, logits_of, logits_test, logits_val, np, objectness, p_test, p_val, segmenting, test, torch, validation


@app.cell
def _(np):
    def compared(mask, truth):
        """White: hit; red: false; blue: missed."""
        shown = np.zeros((*mask.shape, 3), np.uint8)
        shown[mask & truth] = (240, 240, 240)
        shown[mask & ~truth] = (230, 80, 60)
        shown[~mask & truth] = (70, 130, 230)
        return shown

    def mask_iou(mask, truth):
        return float((mask & truth).sum() / max((mask | truth).sum(), 1))

    return compared, mask_iou


@app.cell
def _(compared, mask_iou, number, objectness, t, test, threshold):
    _mask, _true = objectness[number.value] >= threshold.value, test.classes[number.value] > 0
    _iou = mask_iou(_mask, _true)
    t.images(
        (test.images[number.value], "escena (OpenMoji, CC BY-SA 4.0)", "scene (OpenMoji, CC BY-SA 4.0)"),
        (objectness[number.value], "probabilidad de objeto", "probability of an object"),
        (
            compared(_mask, _true),
            f"blanco: acierto; rojo: sobra; azul: falta. IoU {_iou:.2f}",
            f"white: hit; red: false; blue: missed. IoU {_iou:.2f}",
        ),
        width=190,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Elegir el umbral

        Un umbral bajo encuentra más (exhaustividad) y se equivoca más (baja la precisión). Se elige en **validación** y se
        mide en **prueba**. En la prueba ya no se elige nada. IoU y Dice eligen el mismo: $\text{Dice} = 2\,\text{IoU} /
        (1 + \text{IoU})$ (3.8) crece con la IoU.
    """,
        en=r"""
        ## Choosing the threshold

        A low threshold finds more (recall) and errs more (precision falls). It is chosen on **validation** and measured on
        the **test**. On the test nothing is chosen any more. IoU and Dice choose the same one: $\text{Dice} =
        2\,\text{IoU} / (1 + \text{IoU})$ (3.8) increases with IoU.
    """,
    )
    return


@app.cell
def _(np, objectness, p_val, test, validation):
    def scores_at(probability, truth, at):
        """Precision, recall, IoU and Dice of all pixels together."""
        mask = probability >= at
        hits, marked, true = (mask & truth).sum(), mask.sum(), truth.sum()
        return hits / max(marked, 1), hits / true, hits / (marked + true - hits), 2 * hits / (marked + true)

    levels = np.arange(0.05, 1, 0.05)
    curve = np.array([scores_at(1 - p_val[:, 0], validation.classes > 0, at) for at in levels])
    best = float(levels[curve[:, 2].argmax()])
    at_best = scores_at(objectness, test.classes > 0, best)
    return at_best, best, curve, levels, scores_at


@app.cell
def _(at_best, best, curve, kit, levels, p_val, scores_at, t, threshold, validation):
    _here = scores_at(1 - p_val[:, 0], validation.classes > 0, threshold.value)
    _figure, _axes = kit.plot(6, 2.8)
    _names = (t.pick("precisión", "precision"), t.pick("exhaustividad", "recall"), "IoU", "Dice")
    for _values, _name in zip(curve.T, _names, strict=True):
        _axes.plot(levels, _values, label=_name)
    _axes.axvline(threshold.value, color="black", linestyle=":")
    _axes.set(xlabel=t.pick("umbral", "threshold"))
    _axes.legend()
    t.image(
        _figure,
        es=f"En validación, con umbral {threshold.value:.2f}: IoU {_here[2]:.3f}, Dice {_here[3]:.3f}. "
        f"El mejor es {best:.2f}, y en la prueba da IoU {at_best[2]:.3f}, Dice {at_best[3]:.3f}",
        en=f"On validation, at a threshold of {threshold.value:.2f}: IoU {_here[2]:.3f}, Dice {_here[3]:.3f}. "
        f"The best is {best:.2f}, and on the test it gives an IoU of {at_best[2]:.3f}, Dice {at_best[3]:.3f}",
        width=560,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## ¿Media de qué?

        «IoU media» puede significar tres cosas: **juntar** los píxeles de todas las imágenes en una sola matriz de
        confusión (así miden VOC y Cityscapes), **promediar** la IoU de cada imagen, o promediar también las clases. En la
        primera manda lo grande; en la segunda cada imagen vale lo mismo, y una con un objeto diminuto puede valer 0.
    """,
        en=r"""
        ## The mean of what?

        "Mean IoU" may mean three things: to **pool** the pixels of all images in one confusion matrix (as VOC and
        Cityscapes do), to **average** the IoU of each image, or to average the classes as well. In the first one what is
        large rules; in the second each image counts alike, and one with a tiny object may be worth 0.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.lessons.segmenting:confusion", "calco.lessons.segmenting:ious")
    return


@app.cell
def _(np, p_test, segmenting, t, test):
    found = p_test.argmax(1)
    tables = np.stack([segmenting.confusion(y, guess) for y, guess in zip(test.classes, found, strict=True)])
    pooled = segmenting.ious(tables.sum(0))
    per_image = np.array([segmenting.ious(table) for table in tables])  # N, 4; NaN where nobody has the class
    t.table(
        [
            {
                t.pick("clase", "class"): name,
                t.pick("píxeles juntos", "pooled pixels"): float(pooled[k]),
                t.pick("media por imagen", "mean per image"): float(np.nanmean(per_image[:, k])),
                t.pick("imágenes con IoU 0", "images with IoU 0"): int((per_image[:, k] == 0).sum()),
            }
            for k, name in enumerate(segmenting.CLASSES)
        ]
    )
    return found, per_image, pooled, tables


@app.cell(hide_code=True)
def _(np, per_image, pooled, t, tables):
    _objects = per_image[:, 1:]
    _pooled, _mean = float(np.nanmean(pooled[1:])), float(np.nanmean(_objects))
    _dice, _of_mean = float(np.nanmean(2 * _objects / (1 + _objects))), 2 * _mean / (1 + _mean)
    _lost = (tables.sum(0) / tables.sum(0).sum(1, keepdims=True))[1:, 0].mean()
    t(
        es=rf"""
        Las mismas predicciones, dos puntajes: **{_pooled:.3f}** y **{_mean:.3f}**. Los ceros explican la diferencia: basta
        que la red vea un puñado de píxeles de una clase que no está para que esa imagen valga 0 en ella. Ninguno es «el
        bueno», pero di siempre cuál es. Y no conviertas medias: el Dice medio es {_dice:.3f}, y convertir la IoU media daría
        {_of_mean:.3f}, porque la función es cóncava (Jensen). De los píxeles de objetos, la red llama fondo al {_lost:.1%},
        en promedio de las tres clases.

        ## ¿Dicen la verdad las probabilidades?

        Una red está **calibrada** si, de los píxeles a los que da 0,8, acierta 8 de cada 10. El **diagrama de
        fiabilidad** agrupa los píxeles por su confianza $p$ y compara, en cada grupo $b$, la confianza media con la parte de
        aciertos. El **ECE** resume la diferencia:

        $$\text{{ECE}} = \sum_b \frac{{n_b}}{{N}}\,\bigl|\,\text{{aciertos}}_b - \text{{confianza}}_b\,\bigr|$$

        Si la red exagera, hay un arreglo de un solo número: dividir los logits entre una **temperatura** $T$ antes del
        softmax (Guo y otros, 2017). $T > 1$ la vuelve más prudente; $T < 1$, más segura. El $\arg\max$ no cambia, y la IoU
        tampoco. Mueve $T$:
        """,
        en=rf"""
        The same predictions, two scores: **{_pooled:.3f}** and **{_mean:.3f}**. The zeros explain the difference: if the
        network sees but a handful of pixels of a class that is not there, the image is worth 0 in that class. Neither is
        "the right one", but always say which one it is. And do not convert means: the mean Dice is {_dice:.3f}, and to
        convert the mean IoU would give {_of_mean:.3f}, because the function is concave (Jensen). Of the pixels of objects,
        the network calls {_lost:.1%} background, on average over the three classes.

        ## Are the probabilities true?

        A network is **calibrated** if it is right for 8 of 10 pixels to which it gives 0.8. The **reliability diagram** puts
        pixels in groups by their confidence $p$, and compares the mean confidence of each group $b$ with its share of
        right ones. The **ECE** sums up the difference:

        $$\text{{ECE}} = \sum_b \frac{{n_b}}{{N}}\,\bigl|\,\text{{right}}_b - \text{{confidence}}_b\,\bigr|$$

        If the network exaggerates, a single number mends it: divide the logits by a **temperature** $T$ before the softmax
        (Guo and others, 2017). $T > 1$ makes it more cautious, $T < 1$ more sure. The $\arg\max$ does not change, nor does
        IoU. Move $T$:
        """,
    )
    return


@app.cell
def _(t):
    temperature = t.slider(0.2, 2, step=0.05, value=1, es="temperatura T", en="temperature T")
    temperature
    return (temperature,)


@app.cell
def _(logits_test, logits_val, np, test, torch, validation):
    def reliability(temperature, only_objects=False, groups=10):
        """Of each group of confidences of the test: pixels, mean confidence and share of right ones; and the ECE."""
        p, guess = (each.numpy() for each in (logits_test / temperature).softmax(1).max(1))
        counted = guess > 0 if only_objects else np.ones_like(guess, bool)
        p, right = p[counted], (guess == test.classes)[counted]
        group = np.minimum((p * groups).astype(int), groups - 1)
        count = np.bincount(group, minlength=groups)
        sure, hits = (np.bincount(group, each, groups) / np.maximum(count, 1) for each in (p, right))
        return count, sure, hits, float((count / count.sum() * np.abs(hits - sure)).sum())

    temperatures = np.arange(0.2, 2.01, 0.05)
    _truth = validation.batch()[1]
    _losses = [float(torch.nn.functional.cross_entropy(logits_val / T, _truth)) for T in temperatures]
    best_temperature = float(temperatures[np.argmin(_losses)])  # chosen on validation
    ece, ece_objects = ([reliability(T, only)[3] for T in (1, best_temperature)] for only in (False, True))
    return best_temperature, ece, ece_objects, reliability


@app.cell
def _(kit, reliability, t, temperature):
    _count, _sure, _hits, _ece = reliability(temperature.value)
    _any = _count > 0
    _figure, (_left, _right) = kit.plot(7.4, 3, columns=2)
    _left.plot([0, 1], [0, 1], ":", color="grey")
    _left.plot(_sure[_any], _hits[_any], "o-")
    _left.set(ylabel=t.pick("parte de aciertos", "share of right ones"), xlim=(0.2, 1.02), ylim=(0.2, 1.02))
    _right.bar(_sure[_any], _count[_any] / _count.sum(), width=0.06)
    _right.set(yscale="log", ylabel=t.pick("parte de los píxeles", "share of the pixels"))
    for _axes in (_left, _right):
        _axes.set(xlabel=t.pick("confianza media", "mean confidence"))
    t.image(
        _figure,
        es=f"Prueba, T = {temperature.value:.2f}: ECE {_ece:.4f}. Bajo la diagonal, la red exagera; sobre ella, duda de más",
        en=f"Test, T = {temperature.value:.2f}: ECE {_ece:.4f}. Below the diagonal the network exaggerates; above it, it doubts too much",
        width=680,
    )
    return


@app.cell(hide_code=True)
def _(best_temperature, ece, ece_objects, t):
    t(
        es=f"""
        La temperatura con menor pérdida en validación es {best_temperature:.2f}:
        {"esta red, que se entrenó poco, duda de más" if best_temperature < 1 else "la red exagera"}. Con ella, el ECE de la
        prueba pasa de {ece[0]:.4f} a {ece[1]:.4f}. Mira ahora las barras: casi todos los píxeles son fondo fácil, y mandan en
        el promedio. Contando solo los que la red llama objeto, el ECE es **{ece_objects[0]:.4f}** con $T = 1$ y
        {ece_objects[1]:.4f} con la mejor temperatura: la misma trampa que la exactitud en 3.6. Y si usaste pesos de clases
        (3.5), mide esto antes de creer en una probabilidad.

        ## Limpiar la máscara

        Sin entrenar de nuevo se puede quitar lo que un objeto no es: motas y huecos. El **cierre** (dilatar y luego
        erosionar con un disco de radio $r$) une lo que casi se toca; quitar **componentes** de menos de $a$ píxeles borra
        motas y, aplicado al fondo, rellena huecos.
        """,
        en=f"""
        The temperature with the lowest loss on validation is {best_temperature:.2f}:
        {"this network, which was trained for a short time, doubts too much" if best_temperature < 1 else "the network exaggerates"}.
        With it, the ECE of the test goes from {ece[0]:.4f} to {ece[1]:.4f}. Now look at the bars: nearly all pixels are easy
        background, and they rule the mean. Counting only those that the network calls an object, the ECE is
        **{ece_objects[0]:.4f}** with $T = 1$, and {ece_objects[1]:.4f} with the best temperature: the same trap as accuracy in
        3.6. And where you used class weights (3.5), measure this before you believe a probability.

        ## Cleaning the mask

        Without training again one can remove what an object is not: specks and holes. **Closing** (dilate, then erode with
        a disc of radius $r$) joins what nearly touches; to drop **components** of fewer than $a$ pixels removes specks and,
        applied to the background, fills holes.
        """,
    )
    return


@app.cell
def _(cv2, np):
    def without_small(mask, smallest):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        kept = stats[:, cv2.CC_STAT_AREA] >= smallest
        kept[0] = False
        return kept[labels]

    def cleaned(mask, smallest, radius):
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc) > 0
        mask = without_small(mask, smallest)
        return ~without_small(~mask, smallest)  # a hole is a small component of the background

    return (cleaned,)


@app.cell
def _(kit, t):
    smallest = t.slider(0, 200, step=10, value=40, es="área mínima a, píxeles", en="least area a, pixels")
    radius = t.slider(0, 5, value=0, es="radio del cierre r, píxeles", en="radius of the closing r, pixels")
    kit.mo.hstack([smallest, radius], justify="start", wrap=True)
    return radius, smallest


@app.cell
def _(cleaned, compared, kit, mask_iou, np, objectness, p_val, radius, smallest, t, test, validation):
    raw_test, true_test = objectness >= 0.5, test.classes > 0

    def _row(split, raw, truth):
        clean = np.stack([cleaned(each, smallest.value, radius.value) for each in raw])
        gains = np.array([mask_iou(b, y) - mask_iou(a, y) for a, b, y in zip(raw, clean, truth, strict=True)])
        return clean, {
            "": split,
            t.pick("IoU antes", "IoU before"): f"{mask_iou(raw, truth):.4f}",
            t.pick("IoU después", "IoU after"): f"{mask_iou(clean, truth):.4f}",
            t.pick("imágenes que mejoran", "images that improve"): int((gains > 0).sum()),
            t.pick("que empeoran", "that get worse"): int((gains < 0).sum()),
        }

    _, _on_val = _row(t.pick("validación", "validation"), p_val[:, 0] <= 0.5, validation.classes > 0)
    _clean, _on_test = _row(t.pick("prueba", "test"), raw_test, true_test)
    _most = int((_clean != raw_test).sum((1, 2)).argmax())
    _before, _after = (mask_iou(each[_most], true_test[_most]) for each in (raw_test, _clean))
    _shown = t.images(
        (test.images[_most], "la escena que más cambia", "the scene that changes most"),
        (compared(raw_test[_most], true_test[_most]), f"antes: {_before:.3f}", f"before: {_before:.3f}"),
        (compared(_clean[_most], true_test[_most]), f"después: {_after:.3f}", f"after: {_after:.3f}"),
        width=190,
    )
    kit.mo.vstack([_shown, t.table([_on_val, _on_test])])
    return raw_test, true_test


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Elige $a$ y $r$ con la fila de validación. Con un área mínima grande empiezan a empeorar imágenes: se van objetos
        de verdad. La limpieza es una creencia sobre los objetos («no hay menores que $a$»), y solo ayuda si es cierta.

        ## Dónde está el error

        La IoU cuenta píxeles y no pregunta dónde están. Dos medidas miran el **contorno**. Sean $\partial G$ y $\partial P$
        los píxeles de borde de la referencia y de la predicción:

        - **F de bordes** con tolerancia $\tau$: la precisión es la parte de $\partial P$ a no más de $\tau$ píxeles de
          $\partial G$; la exhaustividad, al revés; y $F = 2PR/(P+R)$;
        - **Hausdorff 95**: la distancia que no superan el 95 % de los píxeles de un borde al otro, la mayor de los dos
          sentidos. En píxeles; 0 es lo mejor. (El 100 % dependería de una sola mota.)

        Plantemos en una máscara tres errores con *el mismo número de píxeles equivocados*:
    """,
        en=r"""
        Choose $a$ and $r$ by the row of validation. With a large least area images begin to get worse: real objects go.
        Cleaning is a belief about the objects ("none is smaller than $a$"), and helps only where it is true.

        ## Where the error is

        IoU counts pixels, and does not ask where they are. Two measures look at the **outline**. Let $\partial G$ and
        $\partial P$ be the border pixels of ground truth and prediction:

        - **boundary F** with tolerance $\tau$: precision is the part of $\partial P$ at most $\tau$ pixels from
          $\partial G$, recall the other way round, and $F = 2PR/(P+R)$;
        - **Hausdorff 95**: the distance that 95% of the pixels of one border do not exceed to the other, the greater of both
          directions. In pixels; 0 is best. (100% would hang on a single speck.)

        Let us plant three errors in a mask, with *the same number of wrong pixels*:
    """,
    )
    return


@app.cell
def _(cv2, np):
    def border(mask):
        framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        return mask & (cv2.erode(framed, np.ones((3, 3), np.uint8))[1:-1, 1:-1] == 0)

    def distances(mask, other):
        """Distance of each border pixel of a mask to the border of the other one."""
        away = cv2.distanceTransform((~border(other)).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return away[border(mask)]

    def boundary_f(mask, truth, tolerance):
        if not (mask.any() and truth.any()):
            return float(mask.any() == truth.any())
        precision = (distances(mask, truth) <= tolerance).mean()
        recall = (distances(truth, mask) <= tolerance).mean()
        return float(2 * precision * recall / max(precision + recall, 1e-9))

    def hausdorff95(mask, truth):
        if not (mask.any() and truth.any()):
            return float("nan")
        return float(max(np.percentile(distances(a, b), 95) for a, b in ((mask, truth), (truth, mask))))

    return border, boundary_f, hausdorff95


@app.cell
def _(t):
    tolerance = t.slider(0, 6, value=2, es="tolerancia τ, píxeles", en="tolerance τ, pixels")
    tolerance
    return (tolerance,)


@app.cell
def _(border, boundary_f, compared, hausdorff95, kit, mask_iou, np, t, tolerance, true_test):
    _true = true_test[true_test.sum((1, 2)).argmax()]
    _layer = border(_true)
    _rows, _columns = np.indices(_true.shape)
    _first = np.argwhere(_true)[0]
    _from_first = np.hypot(_rows - _first[0], _columns - _first[1])
    _corners = [(r, c) for r in (8, 87) for c in (8, 87)]
    _corner = max(_corners, key=lambda at: np.hypot(*(np.argwhere(_true) - at).T).min())
    _from_corner = np.hypot(_rows - _corner[0], _columns - _corner[1])

    def _closest(distance, where):
        """As many pixels as the layer has, those with the least distance."""
        chosen = np.zeros_like(_true)
        order = np.argsort(np.where(where, distance, np.inf), axis=None)[: _layer.sum()]
        chosen.flat[order] = True
        return chosen

    errors = {
        t.pick("una capa de borde menos", "a layer of border less"): _true & ~_layer,
        t.pick("un mordisco", "a bite"): _true & ~_closest(_from_first, _true),
        t.pick("una isla lejos", "an island far away"): _true | _closest(_from_corner, ~_true),
    }
    kit.mo.vstack(
        [
            t.images(*[(compared(mask, _true), name, name) for name, mask in errors.items()], width=190),
            t.table(
                [
                    {
                        "": name,
                        t.pick("píxeles equivocados", "wrong pixels"): int((mask != _true).sum()),
                        "IoU": f"{mask_iou(mask, _true):.3f}",
                        t.pick("F de bordes", "boundary F"): f"{boundary_f(mask, _true, tolerance.value):.3f}",
                        "HD95, px": f"{hausdorff95(mask, _true):.1f}",
                    }
                    for name, mask in errors.items()
                ]
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(boundary_f, hausdorff95, np, raw_test, t, true_test):
    _f = {tau: np.mean([boundary_f(a, y, tau) for a, y in zip(raw_test, true_test, strict=True)]) for tau in (1, 3)}
    _hd = np.array([hausdorff95(a, y) for a, y in zip(raw_test, true_test, strict=True)])
    t(
        es=f"""
        La IoU apenas distingue los tres. La F de bordes perdona la capa si $\\tau \\geq 2$, y con $\\tau = 0$ la llama la
        peor de todas; Hausdorff delata el mordisco y, más todavía, la isla. Qué error es grave lo dice el uso: para medir un tumor importa el área; para
        operarlo, el borde; para que un robot no choque, la isla.

        La red, en la prueba: F de bordes {_f[1]:.3f} con $\\tau = 1$ y {_f[3]:.3f} con $\\tau = 3$; HD95 mediano
        {np.nanmedian(_hd):.2f} píxeles, y en la peor escena {np.nanmax(_hd):.2f}.

        ## Preguntar cuatro veces

        Si la escena se voltea, la respuesta debería voltearse. No lo hace del todo, y por eso sirve promediar: predecir
        con la imagen volteada, voltear de vuelta las probabilidades y tomar la media (*test-time augmentation*). Cuesta
        una pasada más por cada volteo.
        """,
        en=f"""
        IoU hardly tells the three apart. Boundary F forgives the layer where $\\tau \\geq 2$, and with $\\tau = 0$ calls it
        the worst of all; Hausdorff gives away the bite and, even more, the island. Which error is grave depends on the use: to measure a tumour its area
        matters; to operate on it, the border; for a robot that must not collide, the island.

        The network, on the test: boundary F {_f[1]:.3f} with $\\tau = 1$ and {_f[3]:.3f} with $\\tau = 3$; the median HD95 is
        {np.nanmedian(_hd):.2f} pixels, and {np.nanmax(_hd):.2f} in the worst scene.

        ## Asking four times

        If the scene is flipped, the answer should be flipped. It is not quite, and so averaging helps: predict with the
        flipped image, flip the probabilities back, and take the mean (*test-time augmentation*). It costs one more pass for
        each flip.
        """,
    )
    return


@app.cell
def _(logits_of, np, segmenting, t, test, validation):
    def averaged(data, axes):
        """Confusion of each image, by the mean probabilities over flips; each flip is a tuple of axes of N, C, H, W."""
        images = data.batch()[0]
        p = np.mean([logits_of(images.flip(each)).softmax(1).flip(each).numpy() for each in axes], axis=0)
        return np.stack([segmenting.confusion(y, guess) for y, guess in zip(data.classes, p.argmax(1), strict=True)])

    flips = {
        t.pick("sin volteos", "without flips"): [()],
        t.pick("volteo vertical solo", "upside down alone"): [(2,)],
        t.pick("media: normal y espejo", "mean: as it is, and mirrored"): [(), (3,)],
        t.pick("media de los cuatro", "mean of the four"): [(), (3,), (2,), (2, 3)],
    }
    flip_tables = {name: averaged(test, axes) for name, axes in flips.items()}
    t.table(
        [
            {
                "": name,
                t.pick("pasadas", "passes"): len(axes),
                t.pick("IoU en validación", "IoU on validation"): f"{segmenting.ious(averaged(validation, axes).sum(0))[1:].mean():.4f}",
                t.pick("IoU en la prueba", "IoU on the test"): f"{segmenting.ious(flip_tables[name].sum(0))[1:].mean():.4f}",
            }
            for name, axes in flips.items()
        ]
    )  # fmt: skip
    return (flip_tables,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        La red se entrenó con espejos, pero nunca de cabeza; compara la segunda fila con la primera para ver cuánto le cuesta. Un
        promedio con respuestas malas no tiene por qué ayudar. Qué volteos se usan se decide en la columna de validación, como
        todo.

        ## Los fallos, uno por uno

        Un promedio no dice qué arreglar. Ordena las escenas por su puntaje y recórrelas desde la peor:
    """,
        en="""
        The network was trained with mirror images, but never upside down; compare the second row with the first to see what
        that costs. A mean with bad answers need not help. Which flips are used is decided by the column of validation, like all
        else.

        ## The failures, one by one

        A mean does not say what to fix. Rank the scenes by score, and go through them from the worst one:
    """,
    )
    return


@app.cell
def _(t):
    rank = t.slider(0, 55, step=5, value=0, es="desde el puesto (0 es la peor)", en="from place (0 is the worst)")
    rank
    return (rank,)


@app.cell
def _(found, kit, np, per_image, rank, segmenting, t, test):
    each = np.nanmean(per_image[:, 1:], 1)
    order = np.argsort(each)
    _shown = order[rank.value : rank.value + 4]
    _figure, _axes = kit.plot(7, 1.8)
    _axes.bar(range(len(order)), each[order], color=np.where(np.isin(order, _shown), "tomato", "steelblue"))
    _axes.set(xlabel=t.pick("escenas, de la peor a la mejor", "scenes, from worst to best"), ylabel="IoU")
    _strips = np.vstack(
        [
            np.hstack([test.images[i] for i in _shown]),
            np.hstack([segmenting.painted(test.classes[i]) for i in _shown]),
            np.hstack([segmenting.painted(found[i]) for i in _shown]),
        ]
    )
    _scores = ", ".join(f"{each[i]:.2f}" for i in _shown)
    kit.mo.vstack(
        [
            t.image(_figure, es="IoU media de los objetos de cada escena", en="Mean IoU of the objects of each scene", width=640),
            t.image(
                _strips,
                es=f"Escena, referencia, predicción. IoU: {_scores}",
                en=f"Scene, ground truth, prediction. IoU: {_scores}",
                width=560,
            ),
        ]
    )  # fmt: skip
    return (each,)


@app.cell(hide_code=True)
def _(each, np, t, test):
    _covered = (test.classes > 0).mean((1, 2))
    _kinds = np.array([len(np.unique(y)) - 1 for y in test.classes])
    _worst = np.argsort(each)[: len(each) // 4]
    _rest = np.setdiff1d(np.arange(len(each)), _worst)
    t(
        es=f"""
        Busca el patrón antes de cambiar nada: ¿objetos pequeños?, ¿tapados?, ¿de un color parecido al fondo?, ¿dos clases en
        una misma mancha? Con números: en el peor cuarto los objetos cubren el {_covered[_worst].mean():.1%} y hay
        {_kinds[_worst].mean():.2f} clases por escena; en el resto, {_covered[_rest].mean():.1%} y
        {_kinds[_rest].mean():.2f}. Dos clases en una mancha delatan un campo receptivo corto o pocas imágenes: la red decide
        cada parte por separado.

        ## ¿Cuántos decimales?

        Otra prueba con otras imágenes daría otro puntaje. ¿Qué tan distinto? El **bootstrap** lo estima con lo que hay: saca
        $n$ imágenes *con repetición* de las $n$, vuelve a calcular el puntaje, repite mil veces y quédate con el 95 % central.
        Se remuestrean **imágenes**, no píxeles: los píxeles vecinos aciertan o fallan juntos, y como independientes
        darían un intervalo ridículamente estrecho. Elige cuántas imágenes tiene la prueba:
        """,
        en=f"""
        Look for the pattern before you change anything: small objects? Hidden ones? A colour like that of the ground? Two
        classes in one region? In numbers: in the worst quarter the objects cover {_covered[_worst].mean():.1%}, and there are
        {_kinds[_worst].mean():.2f} classes in a scene; in the rest {_covered[_rest].mean():.1%} and
        {_kinds[_rest].mean():.2f}. Two classes in one region show a short receptive field, or few images: the network decides
        each part by itself.

        ## How many decimals?

        Another test with other images would give another score. How different? The **bootstrap** estimates it from what is
        there: draw $n$ images of the $n$ *with replacement*, compute the score again, repeat it a thousand times, and keep
        the central 95%. One resamples **images**, not pixels: neighbouring pixels are right or wrong together, and as
        independent ones would give a ridiculously narrow interval. Choose how many images the test has:
        """,
    )
    return


@app.cell
def _(t):
    amount = t.slider(6, 57, step=3, value=9, es="imágenes de la prueba", en="images of the test")
    amount
    return (amount,)


@app.cell
def _(np, t):
    from calco.evaluation.scores import Bootstrap, interval

    def resampled(tables, seed=0):
        """Mean IoU of the objects in each of 1,000 samples of the images; tables is N, 4, 4."""
        drawn = Bootstrap([str(number) for number in range(len(tables))], seed, resamples=1000)
        both = np.diagonal(tables, axis1=1, axis2=2)
        return np.nanmean(drawn.ratios(both, tables.sum(1) + tables.sum(2) - both)[:, 1:], 1)

    t.source("calco.evaluation.scores:Bootstrap")
    return interval, resampled


@app.cell
def _(amount, flip_tables, interval, kit, np, resampled, segmenting, t):
    _before, _, _after, _ = flip_tables.values()
    _before, _after = _before[: amount.value], _after[: amount.value]
    _draws = resampled(_before)
    _low, _high = interval(_draws)
    _gains = resampled(_after) - resampled(_before)  # the same seed draws the same images: pairs
    gain = interval(_gains)
    _score = segmenting.ious(_before.sum(0))[1:].mean()
    _figure, (_left, _right) = kit.plot(7.4, 2.8, columns=2)
    _left.hist(_draws, bins=30)
    _left.axvspan(_low, _high, alpha=0.15, color="black")
    _left.set(xlabel=t.pick("IoU media", "mean IoU"), xlim=(0.5, 1))
    _right.hist(_gains, bins=30)
    _right.axvline(0, color="black", linestyle=":")
    _right.axvspan(*gain, alpha=0.15, color="black")
    _right.set(xlabel=t.pick("ganancia del espejo", "gain of the mirror image"))
    t.image(
        _figure,
        es=f"{amount.value} imágenes: IoU {_score:.3f} [{_low:.3f}, {_high:.3f}]; ganancia del espejo entre "
        f"{gain[0]:+.3f} y {gain[1]:+.3f}",
        en=f"{amount.value} images: IoU {_score:.3f} [{_low:.3f}, {_high:.3f}]; gain of the mirror image between "
        f"{gain[0]:+.3f} and {gain[1]:+.3f}",
        width=680,
    )
    return


@app.cell(hide_code=True)
def _(flip_tables, interval, np, resampled, t):
    _first = next(iter(flip_tables.values()))
    _wide = {n: np.subtract(*interval(resampled(_first[:n]))[::-1]) for n in (9, 36)}
    _all = list(flip_tables.values())
    _apart = interval(resampled(_all[2], seed=1) - resampled(_first, seed=2))
    _pairs = interval(resampled(_all[2]) - resampled(_first))
    t(
        es=f"""
        Con 9 imágenes el intervalo mide {_wide[9]:.3f}; con 36, {_wide[36]:.3f}. En teoría se reduce como
        $1/\\sqrt{{n}}$: cuatro veces más imágenes, la mitad de ancho. Con 9 es aún peor que eso: en algunas
        muestras casi falta una clase, y de ahí sale el montículo de la izquierda. Si el intervalo mide centésimas, el tercer
        decimal es ruido.

        Para comparar dos modelos, no compares sus intervalos: remuestrea la **diferencia**, con las mismas imágenes para los
        dos. Una escena difícil lo es para ambos, y en la resta desaparece. Con las mismas imágenes, la ganancia del
        espejo está entre {_pairs[0]:+.3f} y {_pairs[1]:+.3f}; con imágenes distintas para cada uno, estaría entre
        {_apart[0]:+.3f} y {_apart[1]:+.3f}. Solo si el intervalo no contiene el 0 hay algo que contar.

        ## Ejercicios

        **1.** ¿La red está segura cuando acierta? Compara la probabilidad media de la clase elegida donde acierta y donde
        falla. Si una persona revisara solo el 5 % de los píxeles menos seguros, ¿qué parte de los errores vería?
        """,
        en=f"""
        With 9 images the interval is {_wide[9]:.3f} wide; with 36, {_wide[36]:.3f}. In theory it shrinks as
        $1/\\sqrt{{n}}$: four times the images, half the width. With 9 it is even worse than that: some samples hardly
        have one of the classes, and the mound on the left comes from them. If the interval is hundredths wide, the third
        decimal is noise.

        To compare two models, do not compare their intervals: resample the **difference**, with the same images for both. A
        hard scene is hard for both, and vanishes in the difference. With the same images, the gain of the mirror image lies between
        {_pairs[0]:+.3f} and {_pairs[1]:+.3f}; with other images for each, it would lie between {_apart[0]:+.3f} and
        {_apart[1]:+.3f}. Only where the interval does not contain 0 is there something to tell.

        ## Exercises

        **1.** Is the network sure when it is right? Compare the mean probability of the chosen class where it is right, and
        where it is wrong. If a person reviewed only the 5% of the pixels that are least sure, which part of the errors
        would they see?
        """,
    )
    return


@app.cell(hide_code=True)
def _(found, np, p_test, t, test):
    _sure, _right = p_test.max(1), found == test.classes
    _seen = (~_right)[_sure <= np.quantile(_sure, 0.05)].sum() / (~_right).sum()
    t.solution(
        es=f"""
        Donde acierta, {_sure[_right].mean():.2f}; donde falla, {_sure[~_right].mean():.2f}. En el 5 % menos seguro está el
        {_seen:.0%} de los errores: la probabilidad sirve para decir qué debe revisar un humano.
        """,
        en=f"""
        Where it is right, {_sure[_right].mean():.2f}; where it is wrong, {_sure[~_right].mean():.2f}. The least sure 5% holds
        {_seen:.0%} of the errors: the probability serves to say what a person has to review.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Dos imágenes: en una la intersección es 90 y la unión 100; en la otra, 0 y 10. ¿Cuánto valen la IoU media por
        imagen y la de los píxeles juntos? ¿Cuál publicarías?
    """,
        en="""
        **2.** Two images: in one the intersection is 90 and the union 100, in the other 0 and 10. What are the mean IoU per
        image, and that of the pooled pixels? Which one would you publish?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $(0{,}9 + 0)/2 = 0{,}45$ y $90/110 \approx 0{,}82$. La primera, si cada imagen es un caso (un paciente, una pieza): en
        la mitad de los casos se falló. La segunda, si lo que importa es el área total. Publica las dos y di cuál es cuál.
    """,
        en=r"""
        $(0.9 + 0)/2 = 0.45$ and $90/110 \approx 0.82$. The first, if each image is a case (a patient, a workpiece): half of
        the cases failed. The second, if the total area is what matters. Publish both, and say which is which.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
