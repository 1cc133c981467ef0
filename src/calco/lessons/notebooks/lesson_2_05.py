import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.5 · Tipos de arquitecturas de detección · Kinds of detection architectures",
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
        "2.5",
        es="""
        ¿Qué parte de la red responde por qué objeto? Los detectores se distinguen por esa pregunta. Mira los puntos que
        responden por cada objeto, y cambia la regla.
        """,
        en="""
        Which part of the network answers for which object? This question tells detectors apart. See the points that
        answer for each object, and change the rule.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():
    import numpy as np

    import calco
    from calco import detection
    from calco.annotations import read_annotations
    from calco.lessons.scenes import scenes

    folder = scenes()  # drawings from OpenMoji, CC BY-SA 4.0
    annotations = read_annotations(folder / "annotations", folder / "images")
    record = next(_r for _r in annotations.records if _r.name == "train/003@2.png")
    image, objects = calco.read_image(record.image), record.detections.boxes
    return annotations, detection, image, np, objects


@app.cell
def _(kit, t):
    rule = t.dropdown(
        {
            "anchors": ("cajas de anclaje: IoU", "anchor boxes: IoU"),
            "points": ("sin anclas: punto en la caja", "anchor-free: point in the box"),
            "one": ("uno a uno: emparejamiento", "one to one: matching"),
        },
        value="anchors",
        es="regla",
        en="rule",
    )
    stride = t.slider(steps=[8, 16, 32], value=16, es="zancada", en="stride")
    anchor = t.slider(32, 112, step=8, value=64, es="lado del ancla", en="side of the anchor")
    least = t.slider(0.2, 0.8, step=0.05, value=0.5, es="IoU mínima", en="least IoU")
    kit.mo.hstack([rule, stride, anchor, least], justify="start", wrap=True)
    return anchor, least, rule, stride


@app.cell
def _(anchor, detection, least, np, objects, rule, stride):
    from scipy.optimize import linear_sum_assignment

    axis = np.arange(stride.value / 2, 192, stride.value)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)  # the centre of each cell of the feature map
    anchors = np.hstack([points - anchor.value / 2, points + anchor.value / 2])
    overlaps = detection.iou(anchors, objects)
    assigned = np.full(len(points), -1)  # the object for which each point answers; -1 is background
    if rule.value == "anchors":
        assigned = np.where(overlaps.max(1) >= least.value, overlaps.argmax(1), -1)
    elif rule.value == "points":
        inside = ((points[:, None] > objects[:, :2]) & (points[:, None] < objects[:, 2:])).all(2)
        areas = np.where(inside, (objects[:, 2:] - objects[:, :2]).prod(1), np.inf)
        assigned = np.where(inside.any(1), areas.argmin(1), -1)  # the smallest object around the point
    else:
        _rows, _columns = linear_sum_assignment(-overlaps)
        assigned[_rows] = _columns
    per_object = np.bincount(assigned[assigned >= 0], minlength=len(objects))
    return anchors, assigned, per_object, points


@app.cell(hide_code=True)
def _(assigned, image, kit, objects, per_object, points, t):
    _figure, _axes = kit.plot(4.4, 4.4)
    _axes.imshow(image, alpha=0.6)
    _axes.plot(*points[assigned < 0].T, ".", color="grey", ms=3)
    for _number, (_left, _top, _right, _bottom) in enumerate(objects):
        _colour = ("tab:orange", "tab:blue", "tab:pink", "tab:green")[_number % 4]
        _axes.plot([_left, _right, _right, _left, _left], [_top, _top, _bottom, _bottom, _top], color=_colour, lw=2)
        _axes.plot(*points[assigned == _number].T, "o", color=_colour, mec="black", ms=7)
    _axes.set_axis_off()
    t.image(
        _figure,
        es=f"{len(points)} puntos; responden por cada objeto: {', '.join(map(str, per_object))}. El {(assigned < 0).mean():.0%} es fondo",
        en=f"{len(points)} points; answering for each object: {', '.join(map(str, per_object))}. {(assigned < 0).mean():.0%} are background",
        width=420,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Sube la IoU mínima con las cajas de anclaje: hay objetos que se quedan **sin nadie** que responda por ellos, y
        la red nunca los aprende. Cambia a «punto en la caja»: responden muchos. Con «uno a uno», exactamente uno.

        ## La idea

        Una red de detección tiene salidas fijas (celdas, anclas o consultas) y un número variable de objetos. Para
        calcular la pérdida hay que **asignar** unos a otros. De esa decisión salen las familias.

        ### De dos etapas

        Primero se proponen regiones que *podrían* contener algo; después, otra cabeza recorta las características de
        cada región, la clasifica y corrige su caja. Faster R-CNN es el modelo clásico. Es preciso y modular, pero más
        lento: la segunda etapa se repite por cada región.

        ### De una etapa, con anclas

        Cada celda tiene varias **cajas de anclaje** de tamaños fijos, y la red predice para cada una la clase y la
        corrección. Con un ancla de centro $(x_a, y_a)$ y lados $(w_a, h_a)$ se aprenden

        $$t_x = \frac{x - x_a}{w_a}, \quad t_y = \frac{y - y_a}{h_a}, \quad t_w = \ln\frac{w}{w_a}, \quad t_h = \ln\frac{h}{h_a}$$

        SSD y RetinaNet trabajan así. Hay que elegir los tamaños de las anclas, y casi todas son fondo.

        ### Sin anclas

        Cada punto del mapa que cae en un objeto predice las distancias a los cuatro lados, $(l, t, r, b)$. Así trabajan
        FCOS y el detector `lite` de Calco. No hay tamaños que elegir, pero sí que decidir qué punto responde; TOOD
        escoge los que hoy predicen mejor.

        ### Con transformador

        Un conjunto fijo de **consultas** atiende al mapa entero, y cada una dice un objeto o «ninguno». La asignación
        es uno a uno, y de costo mínimo:

        $$\hat\sigma = \arg\min_{\sigma} \sum_{i} \mathcal{L}_{\text{pareja}}\big(y_i, \hat y_{\sigma(i)}\big)$$

        Lo resuelve el algoritmo húngaro. Como repetir un objeto se castiga, la red aprende a no repetirse y **no hace
        falta NMS**.

        ## El código más corto

        Tres consultas, dos objetos: el emparejamiento es la asignación más barata *en conjunto*, que puede no ser la de
        la voracidad.
        """,
        en=r"""
        Raise the least IoU with anchor boxes: some objects are left with **nobody** to answer for them, and the network
        never learns them. Change to "point in the box": many answer. With "one to one", exactly one.

        ## The idea

        A detection network has fixed outputs (cells, anchors or queries) and a varying number of objects. To compute
        the loss, ones must be **assigned** to the others. This decision makes the families.

        ### Two stages

        First, regions are proposed that *might* hold something; then another head crops the features of each region,
        classifies it and corrects its box. Faster R-CNN is the classical model. It is accurate and modular, but slower:
        the second stage is repeated for each region.

        ### One stage, with anchors

        Each cell has several **anchor boxes** of fixed sizes, and the network predicts a class and a correction for
        each of them. For an anchor with centre $(x_a, y_a)$ and sides $(w_a, h_a)$ it learns

        $$t_x = \frac{x - x_a}{w_a}, \quad t_y = \frac{y - y_a}{h_a}, \quad t_w = \ln\frac{w}{w_a}, \quad t_h = \ln\frac{h}{h_a}$$

        SSD and RetinaNet work so. The sizes of the anchors must be chosen, and almost all anchors are background.

        ### Anchor-free

        Each point of the map inside an object predicts the distances to the four sides, $(l, t, r, b)$. FCOS and
        Calco's detector `lite` work so. There are no sizes to choose, but which point answers must be decided; TOOD
        takes those that predict best at present.

        ### Transformer

        A fixed set of **queries** attends to the whole map, and each names an object or "none". The assignment is one
        to one, and of least cost:

        $$\hat\sigma = \arg\min_{\sigma} \sum_{i} \mathcal{L}_{\text{match}}\big(y_i, \hat y_{\sigma(i)}\big)$$

        The Hungarian algorithm solves it. As repeating an object is punished, the network learns not to repeat itself,
        and **no NMS is needed**.

        ## The smallest code

        Three queries, two objects: the matching is the cheapest assignment *as a whole*, which need not be the greedy
        one.
        """,
    )
    return


@app.cell
def _(np):
    from itertools import permutations

    cost = np.array([[0.10, 0.20], [0.15, 0.90], [0.80, 0.85]])  # three queries x two objects
    whole = min(permutations(range(3), 2), key=lambda queries: sum(cost[query, i] for i, query in enumerate(queries)))
    _first = np.unravel_index(cost.argmin(), cost.shape)  # greedy: the cheapest pair, then what is left
    _other = 1 - _first[1]
    _left = min((query for query in range(3) if query != _first[0]), key=lambda query: cost[query, _other])
    greedy_cost = cost[_first] + cost[_left, _other]
    {"queries of the objects": whole, "cost": cost[list(whole), [0, 1]].sum(), "greedy": greedy_cost}
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Con pocas consultas se prueban todas las permutaciones; `linear_sum_assignment` da lo mismo con miles, en tiempo
        cúbico. La asignación de `lite`, en la biblioteca, escoge para cada objeto los puntos que hoy predicen mejor
        (TOOD; Feng y otros, 2021):
        """,
        en="""
        With few queries all permutations can be tried; `linear_sum_assignment` gives the same for thousands, in cubic
        time. The assignment of `lite`, in the library, takes for each object the points that predict best at present
        (TOOD; Feng and others, 2021):
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.lite:assign")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        Los objetos de todo el conjunto, con tu zancada, tu ancla y tu IoU mínima de arriba:
        """,
        en="""
        ## What it shows

        The objects of the whole set, with your stride, your anchor and your least IoU from above:
        """,
    )
    return


@app.cell
def _(anchors, annotations, detection, least, np, points):
    everything = np.concatenate([_r.detections.boxes for _r in annotations.records])
    by_anchor = (detection.iou(anchors, everything) >= least.value).sum(0)
    by_point = ((points[:, None] > everything[:, :2]) & (points[:, None] < everything[:, 2:])).all(2).sum(0)
    return by_anchor, by_point, everything


@app.cell(hide_code=True)
def _(by_anchor, by_point, everything, np, t):
    t.table(
        [
            {
                t.pick("regla", "rule"): _name,
                t.pick("respuestas por objeto, mediana", "answers for an object, median"): float(np.median(_counts)),
                t.pick("objetos sin ninguna", "objects without any"): f"{(_counts == 0).mean():.1%}",
                t.pick("¿NMS?", "NMS?"): _nms,
            }
            for _name, _counts, _nms in (
                (t.pick("anclas", "anchors"), by_anchor, t.pick("sí", "yes")),
                (t.pick("sin anclas", "anchor-free"), by_point, t.pick("sí", "yes")),
                (t.pick("uno a uno", "one to one"), np.ones(len(everything)), "no"),
            )
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        - Muchas respuestas por objeto: más señal para aprender, y después hay que suprimir las repetidas.
        - Una sola: sin repetidas, pero aprende despacio. El DETR original necesitó cientos de épocas; por eso sus
          sucesores entrenan también con asignaciones auxiliares.

        ## Ejercicios

        **1.** ¿Cuántas salidas tiene un mapa de 24 × 24 con 9 anclas por celda? Si hay 3 objetos, ¿qué parte es fondo,
        como mínimo, con 10 anclas por objeto?
        """,
        en="""
        - Many answers for each object: more signal to learn from, and repeated ones to suppress afterwards.
        - A single one: no repeats, but slow learning. The original DETR needed hundreds of epochs; so its successors
          also train with auxiliary assignments.

        ## Exercises

        **1.** How many outputs does a map of 24 × 24 with 9 anchors in each cell have? With 3 objects and at most 10
        anchors for each, which share is background, at least?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $24 \cdot 24 \cdot 9 = 5184$ anclas; $1 - 30/5184 \approx 99{,}4\,\%$ es fondo. De ese desequilibrio se ocupa la
        pérdida focal (lección 2.6).
        """,
        en=r"""
        $24 \cdot 24 \cdot 9 = 5184$ anchors; $1 - 30/5184 \approx 99.4\,\%$ are background. The focal loss deals with
        this imbalance (lesson 2.6).
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Un punto cae dentro de dos cajas. ¿Qué hace la regla sin anclas de arriba, y por qué es razonable?
        """,
        en="""
        **2.** A point lies in two boxes. What does the anchor-free rule above do, and why is this reasonable?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Responde por la caja **más pequeña**. El objeto grande tiene muchos otros puntos; el pequeño, quizá solo ese.
        FCOS reduce además el problema repartiendo los objetos por tamaño entre los niveles de la pirámide.
        """,
        en="""
        It answers for the **smallest** box. The large object has many other points; the small one perhaps only this.
        FCOS also eases the problem by dividing objects among the levels of the pyramid by their size.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        **3.** Un detector sin anclas mira mapas con zancadas 8, 16 y 32. ¿Cuántos puntos tiene en una imagen de 640 × 640? Con
        diez objetos y asignación uno a uno, ¿qué parte de los puntos es fondo?
        """,
        en=r"""
        **3.** A detector without anchors looks at maps of strides 8, 16 and 32. How many points has it in an image of
        640 × 640? With ten objects and one-to-one assignment, which share of the points is background?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $80^2 + 40^2 + 20^2 = 6400 + 1600 + 400 = 8400$ puntos. Fondo: $1 - 10/8400 = 99{,}88\,\%$. Una pérdida que promedia
        sobre todos los puntos casi no oiría a los objetos: por eso se divide entre los que responden, o se usa la pérdida
        focal.
        """,
        en=r"""
        $80^2 + 40^2 + 20^2 = 6400 + 1600 + 400 = 8400$ points. Background: $1 - 10/8400 = 99.88\%$. A loss averaged over all
        points would hardly hear the objects: so it is divided by those that answer, or the focal loss is used.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
