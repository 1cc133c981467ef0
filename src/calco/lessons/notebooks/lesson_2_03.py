import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.3 · Backbone, supresión de no máximos y métricas · Backbone, non-maximum suppression and metrics",
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
        "2.3",
        es="""
        Un detector deja muchas cajas sobre cada objeto. Mueve el umbral de la supresión y mira cuántas quedan. Después
        mide con números si las que quedan son buenas.
        """,
        en="""
        A detector leaves many boxes on each object. Move the threshold of suppression and see how many stay. Then
        measure with numbers whether those that stay are good.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():
    import numpy as np

    import calco
    from calco import detection
    from calco.annotations import Detections, read_annotations
    from calco.data.config import SourceConfig
    from calco.detection.slide import classify, levels
    from calco.detection.window_classifier import learn_classifier
    from calco.lessons.scenes import scenes

    folder = scenes()  # drawings from OpenMoji, CC BY-SA 4.0
    annotations = read_annotations(folder / "annotations", folder / "images")
    classes = annotations.classes
    classifier, _ = learn_classifier(str(folder), (64, 64), source=SourceConfig(), seed=0, progress=lambda *_: None)
    tests = [_r for _r in annotations.records if _r.name.startswith("test/")]
    truths = [_r.detections for _r in tests]
    windows = np.concatenate([_level.boxes for _level in levels((192, 192), (64, 64), 12, (0.75, 1, 1.3))[0]])
    raw = [classify(calco.read_image(_r.image), windows, classifier, 0.2, lambda *_: None)[0] for _r in tests]
    place = next(_i for _i, _r in enumerate(tests) if _r.name == "test/048@2.png")
    image = calco.read_image(tests[place].image)
    hits = raw[place].select(np.flatnonzero(raw[place].scores >= 0.6))
    return Detections, classes, detection, hits, image, np, place, raw, truths


@app.cell
def _(kit, t):
    method = t.dropdown(
        {name: (name, name) for name in ("nms", "soft-nms", "matrix")}, value="nms", es="método", en="method"
    )
    limit = t.slider(0, 1, step=0.05, value=0.3, es="umbral de IoU (nms)", en="IoU threshold (nms)")
    sigma = t.slider(0.05, 1, step=0.05, value=0.3, es="σ (los otros dos)", en="σ (the other two)")
    kit.mo.hstack([method, limit, sigma], justify="start", wrap=True)
    return limit, method, sigma


@app.cell
def _(Detections, detection, hits, limit, method, np, sigma):
    if method.value == "nms":
        stays = detection.nms(hits.boxes, hits.scores, limit.value, hits.classes)
        scores = hits.scores[stays]
    else:
        lower = detection.soft_nms if method.value == "soft-nms" else detection.matrix_nms
        stays, scores = lower(
            hits.boxes, hits.scores, classes=hits.classes, method="gaussian", sigma=sigma.value, least=0.3
        )
    kept = Detections(
        boxes=hits.boxes[stays], classes=tuple(hits.classes[_i] for _i in stays), scores=scores.astype(np.float32)
    )
    return (kept,)


@app.cell(hide_code=True)
def _(classes, detection, hits, image, kept, method, place, t, truths):
    t.images(
        (
            detection.draw_detections(image, hits, classes, labels=[""] * len(hits)),
            f"{len(hits)} ventanas con puntaje 0,6 o más",
            f"{len(hits)} windows with a score of 0.6 or more",
        ),
        (
            detection.draw_detections(image, kept, classes),
            f"{method.value}: quedan {len(kept)} cajas",
            f"{method.value}: {len(kept)} boxes stay",
        ),
        (
            detection.draw_detections(image, truths[place].select(range(len(truths[place]))), classes),
            "La anotación",
            "The annotation",
        ),
        width=300,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Las cajas son las del clasificador de ventanas de la lección anterior. En un detector moderno pasa lo mismo.

        ## El backbone

        HOG es un descriptor escrito a mano. El **backbone** es un descriptor *aprendido*: una red de convoluciones,
        casi siempre preentrenada en ImageNet, que convierte la imagen en **mapas de características**. Cada etapa
        reduce a la mitad el alto y el ancho, y aumenta los canales. Una celda del mapa con zancada 16 resume lo que hay
        alrededor de un punto cada 16 píxeles: es una ventana deslizante con paso 16, calculada de una vez. Este, de
        tres etapas y sin entrenar, muestra las formas:
        """,
        en="""
        The boxes are those of the window classifier of the lesson before. In a modern detector the same happens.

        ## The backbone

        HOG is a descriptor written by hand. The **backbone** is a *learned* descriptor: a network of convolutions,
        almost always pretrained on ImageNet, which turns the image into **feature maps**. Each stage halves height and
        width, and has more channels. A cell of the map with stride 16 summarises what is around one point in every 16
        pixels: a sliding window with step 16, computed in one go. This one, of three stages and untrained, shows the
        shapes:
        """,
    )
    return


@app.cell
def _(image, np):
    import torch

    torch.manual_seed(0)
    x = torch.from_numpy(image.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]  # HWC => NCHW in [-1, 1]
    maps, channels = [x], 3
    for wider in (16, 32, 64):
        stage = torch.nn.Conv2d(channels, wider, 3, stride=2, padding=1)
        maps.append(torch.relu(stage(maps[-1])).detach())
        channels = wider
    print("\n".join(str(tuple(each.shape)) for each in maps))
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Un objeto pequeño se pierde en un mapa de zancada 32; uno grande no cabe en el campo de visión de otro de
        zancada 8. Por eso el *cuello* combina varios niveles: la **pirámide de características** (FPN; Lin y otros,
        2017) hace con los mapas lo que la pirámide de imágenes hacía con los píxeles. Al final, la *cabeza* predice en
        cada celda la clase y la caja.

        ## Supresión de no máximos

        El algoritmo clásico (NMS) es voraz: toma la caja de mayor puntaje, descarta las de su clase cuya IoU con ella
        supera el umbral, y repite con las que quedan.
        """,
        en="""
        A small object is lost in a map of stride 32; a large one does not fit into the view of one of stride 8. So the
        *neck* combines several levels: the **feature pyramid** (FPN; Lin and others, 2017) does with the maps what the
        image pyramid did with the pixels. At the end, the *head* predicts class and box in each cell.

        ## Non-maximum suppression

        The classical algorithm (NMS) is greedy: take the box with the highest score, drop those of its class whose IoU
        with it exceeds the threshold, and repeat with the rest.
        """,
    )
    return


@app.cell
def _(detection, hits, np):
    def my_nms(boxes, scores, threshold):
        waiting, stay = list(np.argsort(-scores, kind="stable")), []
        while waiting:
            best, *others = waiting
            stay.append(int(best))
            overlaps = detection.iou(boxes[[best]], boxes[others])[0]
            waiting = [other for other, overlap in zip(others, overlaps, strict=True) if overlap <= threshold]
        return stay

    of_class = hits.select([_i for _i, _name in enumerate(hits.classes) if _name == hits.classes[0]])
    _library = detection.nms(of_class.boxes, of_class.scores, 0.3).tolist()
    {"equal": my_nms(of_class.boxes, of_class.scores, 0.3) == _library}
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        El umbral corta en seco, y por eso hay variantes:

        - **Soft-NMS** (Bodla y otros, 2017) no descarta: baja el puntaje, $s_j \leftarrow s_j\,
          e^{-\text{IoU}^2/\sigma}$. Dos objetos que de verdad se tapan pueden sobrevivir los dos.
        - **Matrix NMS** (SOLOv2; Wang y otros, 2020) baja todos los puntajes a la vez, sin bucle: apropiado para una
          GPU.
        - **Ninguna**: DETR y RT-DETR aprenden a no repetirse (lección 2.5).

        ## Métricas

        Una detección es un **acierto** (TP) si su IoU con un objeto de su clase alcanza 0,5 y ninguna mejor ya tomó ese
        objeto. Si no, es una **falsa alarma** (FP). Los objetos sin detección son **omisiones** (FN).

        $$\text{precisión} = \frac{TP}{TP + FP} \qquad \text{exhaustividad} = \frac{TP}{TP + FN}$$

        Un ejemplo pequeño para hacer a mano: hay 5 objetos, y el detector entrega 8 cajas, ordenadas por puntaje. Mueve
        el umbral:
        """,
        en=r"""
        The threshold cuts sharply, which is why there are variants:

        - **Soft-NMS** (Bodla and others, 2017) drops nothing: it lowers the score, $s_j \leftarrow s_j\,
          e^{-\text{IoU}^2/\sigma}$. Two objects that truly hide each other may both survive.
        - **Matrix NMS** (SOLOv2; Wang and others, 2020) lowers all scores at once, without a loop: suited to a GPU.
        - **None**: DETR and RT-DETR learn not to repeat themselves (lesson 2.5).

        ## Metrics

        A detection is **right** (TP) if its IoU with an object of its class reaches 0.5 and no better one has taken
        that object. Otherwise it is a **false alarm** (FP). Objects without a detection are **missed** (FN).

        $$\text{precision} = \frac{TP}{TP + FP} \qquad \text{recall} = \frac{TP}{TP + FN}$$

        A small example to do by hand: there are 5 objects, and the detector delivers 8 boxes, sorted by score. Move the
        threshold:
        """,
    )
    return


@app.cell
def _(np, t):
    toy_scores = np.array([0.95, 0.90, 0.80, 0.70, 0.60, 0.50, 0.40, 0.30])
    toy_right = np.array([1, 1, 0, 1, 0, 0, 1, 0])
    toy_objects = 5
    cut = t.slider(0.25, 1, step=0.05, value=0.65, es="umbral", en="threshold")
    cut
    return cut, toy_objects, toy_right, toy_scores


@app.cell
def _(np, toy_objects, toy_right):
    def curve_of(right, objects):
        """Return precision and recall after each detection, from the highest score on."""
        found = np.cumsum(right)
        return found / np.arange(1, len(right) + 1), found / objects

    def average_precision(right, objects):
        """Return the area under the curve, where precision never rises with recall."""
        precision, recall = curve_of(right, objects)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]  # the best precision from this recall on
        return float(np.sum(np.diff(recall, prepend=0) * envelope))

    toy_precision, toy_recall = curve_of(toy_right, toy_objects)
    toy_ap = average_precision(toy_right, toy_objects)
    return average_precision, toy_ap, toy_precision, toy_recall


@app.cell(hide_code=True)
def _(cut, kit, np, t, toy_ap, toy_objects, toy_precision, toy_recall, toy_right, toy_scores):
    _count = int((toy_scores >= cut.value).sum())
    _tp = int(toy_right[:_count].sum())
    _figure, _axes = kit.plot(5.4, 3)
    _axes.step(
        [0, *toy_recall], [1, *np.maximum.accumulate(toy_precision[::-1])[::-1]], where="pre", color="tab:orange"
    )
    _axes.plot(toy_recall, toy_precision, "o-", color="tab:blue", alpha=0.7)
    if _count:
        _axes.plot(toy_recall[_count - 1], toy_precision[_count - 1], "o", color="black", ms=10)
    _axes.set(
        xlabel=t.pick("exhaustividad", "recall"), ylabel=t.pick("precisión", "precision"), xlim=(0, 1), ylim=(0, 1.05)
    )
    _rates = (f"{_tp / _count:.2f}" if _count else "–", f"{_tp / toy_objects:.2f}")
    kit.mo.vstack(
        [
            t.table(
                [
                    {
                        t.pick("puntaje", "score"): f"{_score:.2f}",
                        t.pick("¿acierto?", "right?"): "✓" if _right else "✗",
                        t.pick("precisión", "precision"): f"{_p:.2f}",
                        t.pick("exhaustividad", "recall"): f"{_r:.2f}",
                        t.pick("cuenta", "counts"): "●" if _score >= cut.value else "",
                    }
                    for _score, _right, _p, _r in zip(toy_scores, toy_right, toy_precision, toy_recall, strict=True)
                ]
            ),
            t.image(
                _figure,
                es=f"TP = {_tp}, FP = {_count - _tp}, FN = {toy_objects - _tp}; precisión {_rates[0]}, exhaustividad {_rates[1]}; AP = {toy_ap:.3f}",
                en=f"TP = {_tp}, FP = {_count - _tp}, FN = {toy_objects - _tp}; precision {_rates[0]}, recall {_rates[1]}; AP = {toy_ap:.3f}",
                width=520,
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        La **precisión media** (AP) es el área bajo la curva naranja, es decir, sobre todos los umbrales a la vez:

        $$\text{AP} = \sum_k (r_k - r_{k-1}) \max_{j \ge k} p_j$$

        Aquí cada acierto añade $1/5$ de exhaustividad: $\frac15\left(1 + 1 + \frac34 + \frac47\right)$. El quinto
        objeto nunca se encuentra y añade cero. La **mAP** promedia la AP de las clases; la de COCO promedia además diez
        umbrales de IoU, de 0,50 a 0,95.

        ## Qué muestra

        Ahora en serio: las imágenes de prueba, el clasificador de ventanas, y la AP de cada clase con tu propia función
        y con la de la biblioteca.
        """,
        en=r"""
        **Average precision** (AP) is the area under the orange curve, that is, over all thresholds at once:

        $$\text{AP} = \sum_k (r_k - r_{k-1}) \max_{j \ge k} p_j$$

        Here each right detection adds $1/5$ of recall: $\frac15\left(1 + 1 + \frac34 + \frac47\right)$. The fifth
        object is never found and adds zero. **mAP** is the mean of the AP of the classes; COCO's also averages over ten
        IoU thresholds, from 0.50 to 0.95.

        ## What it shows

        Now in earnest: the test images, the window classifier, and the AP of each class by your own function and by the
        library's.
        """,
    )
    return


@app.cell
def _(detection, np, raw, truths):
    cleaned = [_found.select(detection.nms(_found.boxes, _found.scores, 0.3, _found.classes)) for _found in raw]

    def judged(name, least):
        """Return which detections of a class are right, by falling score, and the number of its objects."""
        rows, objects = [], 0
        for truth, found in zip(truths, cleaned, strict=True):
            targets = truth.boxes[[each == name for each in truth.classes]]
            free = np.ones(len(targets), bool)
            objects += len(targets)
            for box, score, kind in zip(found.boxes, found.scores, found.classes, strict=True):  # by falling score
                if kind != name:
                    continue
                overlaps = detection.iou(box[None], targets)[0] * free if len(targets) else np.zeros(1)
                right = overlaps.max() >= least
                if right:
                    free[overlaps.argmax()] = False
                rows.append((float(score), bool(right)))
        return np.array([right for _, right in sorted(rows, key=lambda row: -row[0])], float), objects

    return cleaned, judged


@app.cell
def _(t):
    needed = t.slider(0.3, 0.9, step=0.05, value=0.5, es="IoU para acertar", en="IoU to be right")
    needed
    return (needed,)


@app.cell
def _(average_precision, classes, judged, needed, np):
    own_ap = {_name: average_precision(*judged(_name, needed.value)) for _name in classes}
    own_map = float(np.mean(list(own_ap.values())))
    return own_ap, own_map


@app.cell(hide_code=True)
def _(classes, cleaned, kit, needed, own_ap, own_map, t, truths):
    from calco.detection.metrics import average_precision as library_ap

    _scores = library_ap(truths, cleaned, classes)
    kit.mo.vstack(
        [
            t.table(
                [
                    {
                        t.pick("clase", "class"): _name,
                        t.pick(
                            f"AP propia, IoU {needed.value:.2f}", f"own AP, IoU {needed.value:.2f}"
                        ): f"{own_ap[_name]:.3f}",
                        t.pick(
                            "AP de la biblioteca, IoU 0,50", "library's AP, IoU 0.50"
                        ): f"{_scores.classes[_name].ap50:.3f}",
                    }
                    for _name in classes
                ]
            ),
            t(
                es=f"mAP propia: **{own_map:.3f}**. La de COCO, sobre diez umbrales: **{_scores.ap:.3f}**.",
                en=f"Own mAP: **{own_map:.3f}**. COCO's, over ten thresholds: **{_scores.ap:.3f}**.",
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        - Con IoU 0,50 las dos cuentas casi coinciden; COCO lee la curva en 101 puntos de exhaustividad en vez de sumar
          el área exacta.
        - Exige una IoU mayor y la AP se derrumba: este detector sabe *qué* hay y *por dónde*, pero sus ventanas no
          calzan. La mAP de COCO castiga justo eso.
        - Son pocas imágenes: la misma medida con otras daría otro número. Por eso `calco detect evaluate` añade un
          intervalo.

        ## Ejercicios

        **1.** En el ejemplo pequeño, ¿qué umbral da la mejor $F_1 = 2TP/(2TP + FP + FN)$?
        """,
        en="""
        - At IoU 0.50 both nearly agree; COCO reads the curve at 101 points of recall in place of the exact area.
        - Require a larger IoU, and AP collapses: this detector knows *what* is there and *roughly where*, but its
          windows do not fit. COCO's mAP punishes just that.
        - There are few images: the same measure on others would give another number. So `calco detect evaluate` adds an
          interval.

        ## Exercises

        **1.** In the small example, which threshold gives the best $F_1 = 2TP/(2TP + FP + FN)$?
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, t, toy_objects, toy_right, toy_scores):
    _f1 = 2 * np.cumsum(toy_right) / (np.arange(1, 9) + toy_objects)
    _best = int(_f1.argmax())
    t.solution(
        es=f"""
        $2TP + FP + FN$ es el número de cajas más el de objetos. Las $F_1$ son {"; ".join(f"{_x:.3f}" for _x in _f1)}: la mejor con
        {_best + 1} cajas, es decir, un umbral de {toy_scores[_best]:.2f} o poco menos.
        """,
        en=f"""
        $2TP + FP + FN$ is the number of boxes plus that of objects. The $F_1$ are {"; ".join(f"{_x:.3f}" for _x in _f1)}: the best with
        {_best + 1} boxes, that is, a threshold of {toy_scores[_best]:.2f} or slightly less.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Qué pasa con la AP si todos los puntajes se dividen entre dos? ¿Y con la precisión a umbral 0,5?
        """,
        en="""
        **2.** What happens to AP if all scores are halved? And to the precision at the threshold 0.5?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        La AP no cambia: solo usa el *orden*. La precisión a umbral 0,5 sí, porque pasan otras cajas. Una AP alta no
        dice que los puntajes sean probabilidades.
        """,
        en="""
        AP stays: it uses the *order* alone. The precision at the threshold 0.5 changes, because other boxes pass. A
        high AP does not mean that scores are probabilities.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Pon el umbral de la supresión en 1 y luego en 0. ¿Qué cajas quedan en cada caso?
        """,
        en="""
        **3.** Set the suppression threshold to 1, then to 0. Which boxes stay in each case?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Con 1 quedan todas: ninguna IoU es mayor que 1. Con 0, de dos cajas de una clase que apenas se toquen se va la
        de menor puntaje, y con ella algún objeto de verdad.
        """,
        en="""
        With 1 all stay: no IoU is above 1. With 0, of two boxes of a class that merely touch, the one with the lower
        score goes, and with it perhaps a true object.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
