import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.2 · Tipos de segmentación · Kinds of segmentation",
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
        "3.2",
        es="""
        La misma escena, tres respuestas. Elige una y mira los colores: ¿dos autos son *una* región o *dos*? ¿El
        fondo cuenta? En eso se distinguen las segmentaciones semántica, de instancias y panóptica.
    """,
        en="""
        One scene, three answers. Choose one, and look at the colours: are two cars *one* region or *two*? Does the
        background count? This is how semantic, instance and panoptic segmentation differ.
    """,
    )
    return (t,)


@app.cell
def _(t):
    kind = t.radio(
        {
            "semantic": ("semántica", "semantic"),
            "instance": ("de instancias", "instance"),
            "panoptic": ("panóptica", "panoptic"),
        },
        value="semantic",
        es="",
        en="",
    )
    kind
    return (kind,)


@app.cell
def _():
    import numpy as np

    import calco
    from calco.annotations import read_annotations
    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes

    folder = scenes()
    records = read_annotations(folder / "annotations" / "val.json").records
    mixed = [each for each in records[:20] if len(set(each.detections.classes)) > 1]
    record = max(mixed, key=lambda each: len(each.detections.boxes) - len(set(each.detections.classes)))
    scene = calco.read_image(folder / "images" / record.name)
    names = record.detections.classes
    masks = np.stack([outline.mask for outline in record.detections.outlines])  # objects, H, W

    semantic = np.zeros(scene.shape[:2], int)
    instance = np.zeros(scene.shape[:2], int)
    for place, (name, mask) in enumerate(zip(names, masks, strict=True), 1):
        semantic[mask] = segmenting.CLASSES.index(name)
        instance[mask] = place
    names
    return instance, names, np, records, scene, segmenting, semantic


@app.cell
def _(instance, kind, names, np, scene, segmenting, semantic, t):
    tones = np.uint8([[40, 40, 40], [230, 80, 70], [70, 140, 230], [250, 200, 60], [120, 200, 110], [190, 110, 220]])
    if kind.value == "semantic":
        shown = segmenting.painted(semantic)
    else:
        shown = tones[instance % 6].copy()
        if kind.value == "instance":
            shown[instance == 0] = scene[instance == 0]
    t.images(
        (scene, "escena (OpenMoji, CC BY-SA 4.0)", "scene (OpenMoji, CC BY-SA 4.0)"),
        (shown, f"{len(names)} objetos, {len(set(names))} clases", f"{len(names)} objects, {len(set(names))} classes"),
        width=300,
    )
    return (tones,)


@app.cell
def _(instance, names, np, segmenting, semantic):
    panoptic = semantic * 1000 + instance  # class and number of the object in one whole number
    again = bool((panoptic // 1000 == semantic).all() and (panoptic % 1000 == instance).all())
    answers = [
        (name, int((semantic == k).sum()), names.count(name), sorted(map(int, np.unique(panoptic[semantic == k]))))
        for k, name in enumerate(segmenting.CLASSES)
    ]
    return again, answers


@app.cell(hide_code=True)
def _(again, answers, t):
    _rows = [
        {
            t.pick("clase", "class"): name,
            t.pick("semántica: píxeles", "semantic: pixels"): pixels,
            t.pick("instancias: objetos", "instance: objects"): count or "–",
            t.pick("panóptica: valores", "panoptic: values"): ", ".join(map(str, values)) or "–",
        }
        for name, pixels, count, values in answers
    ]
    t.table(_rows)
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        - **Semántica**: a cada píxel, una clase, $f(x) = k$. Dos autos que se tocan forman una sola mancha. Sirve
          para medir áreas y para «cosas» sin contorno propio (cielo, calle): en inglés, *stuff*.
        - **De instancias**: a cada objeto, una máscara, una clase y un puntaje, $\{(M_i, k_i, s_i)\}$. Las máscaras
          pueden superponerse y el fondo no recibe nada. Sirve para contar: en inglés, *things*.
        - **Panóptica** (Kirillov y otros, 2019): a cada píxel, una clase y el número de su objeto, $f(x) = (k, i)$.
          Nada queda sin nombre y nada tiene dos: lo contable lleva número y el resto solo clase.

        La tabla de arriba guarda la tercera en un solo número, $1000\,k + i$, como hacen los archivos de
        Cityscapes. Dividir entre 1000 devuelve la clase y el resto devuelve el objeto: de una panóptica se obtienen
        las otras dos borrando información. Al revés no se puede: la semántica no sabe dónde termina un auto y
        empieza otro, y la de instancias no sabe si el fondo es cielo o calle.

        ## El código más corto

        Lo más parecido a contar en un mapa semántico es buscar *componentes conexas*: manchas de píxeles vecinos de
        la misma clase. Se recorre la imagen y cada píxel sin número inunda su mancha.
    """,
        en=r"""
        ## The idea

        - **Semantic**: a class for each pixel, $f(x) = k$. Two cars that touch are one region. It serves to measure
          areas, and for what has no outline of its own (sky, street): *stuff*.
        - **Instance**: a mask, a class and a score for each object, $\{(M_i, k_i, s_i)\}$. Masks may overlap, and
          the background gets nothing. It serves to count: *things*.
        - **Panoptic** (Kirillov and others, 2019): a class and the number of its object for each pixel, $f(x) = (k,
          i)$. Nothing stays without a name and nothing has two: what can be counted has a number, the rest a class
          only.

        The table above keeps the third in one whole number, $1000\,k + i$, as the files of Cityscapes do. Divided
        by 1000 it gives the class, and the remainder gives the object: from a panoptic answer one gets the other
        two by forgetting something. The reverse is impossible: a semantic map does not know where one car ends and
        the next begins, and an instance answer does not know whether the background is sky or street.

        ## The smallest code

        The nearest to counting in a semantic map is to look for *connected components*: regions of neighbouring
        pixels of one class. Go over the image; each pixel without a number floods its region.
    """,
    )
    return


@app.cell
def _(np, t):
    def components(region):
        numbers, count = np.zeros(region.shape, int), 0
        for start in zip(*np.nonzero(region), strict=True):
            if numbers[start]:
                continue
            count += 1
            numbers[start], front = count, [start]
            while front:
                row, column = front.pop()
                for place in ((row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)):
                    inside = 0 <= place[0] < region.shape[0] and 0 <= place[1] < region.shape[1]
                    if inside and region[place] and not numbers[place]:
                        numbers[place] = count
                        front.append(place)
        return numbers, count

    touching = t.slider(0, 90, value=40, es="distancia entre dos discos", en="distance of two discs")
    touching
    return components, touching


@app.cell
def _(components, np, t, tones, touching):
    _rows, _columns = np.mgrid[:64, :128]
    discs = np.zeros((64, 128), bool)
    for _centre in (24, 24 + touching.value):
        discs |= (_rows - 32) ** 2 + (_columns - _centre) ** 2 <= 18**2
    numbered, found = components(discs)
    t.image(
        tones[numbered % 6],
        es=f"Hay 2 discos de radio 18; las componentes conexas cuentan {found}",
        en=f"There are 2 discs of radius 18; connected components count {found}",
        width=384,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Qué muestra

        Mientras los discos se tocan, la cuenta es 1. Las componentes conexas también se equivocan al revés: un
        objeto partido por otro que pasa delante da dos manchas. Por eso la segmentación de instancias no es un paso
        posterior a la semántica: la red debe aprender qué es *un* objeto.

        ## Cómo se mide una panóptica

        En cada clase se emparejan los segmentos predichos y los de referencia con IoU > 0,5. Con TP pares, FP
        predicciones sobrantes y FN objetos que faltan (Kirillov y otros, 2019),

        $$\text{PQ} = \underbrace{\frac{\sum_{\text{pares}} \text{IoU}}{TP}}_{\text{SQ: calidad de las máscaras}} \cdot \underbrace{\frac{TP}{TP + \frac12 FP + \frac12 FN}}_{\text{RQ: calidad del reconocimiento}}$$

        El segundo factor es el F1 de encontrar objetos (lección 3.8); el primero dice qué tan bien recortados están
        los que se encontraron. La media se toma *después*, sobre las clases. El fondo, como *stuff*, es un segmento
        más, con su propio PQ.

        Una red de instancias da máscaras que se superponen, y una panóptica no lo permite. Hay que decidir de quién
        es cada píxel. Abajo, el disco de la derecha está **delante**. La red predijo los dos enteros, y el de la
        izquierda corrido. Mueve el corrimiento y cambia quién gana:
    """,
        en=r"""
        ## What it shows

        While the discs touch, the count is 1. Connected components are also wrong in the other direction: an object
        that another one cuts in two gives two regions. So instance segmentation is not a step after the semantic
        one: the network must learn what *one* object is.

        ## How a panoptic answer is measured

        In each class, predicted and true segments are matched where IoU > 0.5. With TP pairs, FP predictions left
        over and FN objects missing (Kirillov and others, 2019),

        $$\text{PQ} = \underbrace{\frac{\sum_{\text{pairs}} \text{IoU}}{TP}}_{\text{SQ: quality of the masks}} \cdot \underbrace{\frac{TP}{TP + \frac12 FP + \frac12 FN}}_{\text{RQ: quality of recognition}}$$

        The second factor is the F1 of finding objects (lesson 3.8); the first says how well those that were found
        are cut out. The mean is taken *afterwards*, over the classes. The background, as *stuff*, is one more
        segment with a PQ of its own.

        A network for instances gives masks that overlap, which a panoptic answer forbids. Somebody has to decide
        whose each pixel is. Below, the disc on the right is **in front**. The network predicted both of them whole,
        and the left one shifted. Move the shift, and change who wins:
    """,
    )
    return


@app.cell
def _(kit, t):
    shift = t.slider(0, 30, value=6, es="corrimiento del disco izquierdo, píxeles", en="shift of the left disc, pixels")
    winner = t.radio(
        {"right": ("el de la derecha", "the right one"), "left": ("el de la izquierda", "the left one")},
        value="right", es="¿de quién son los píxeles comunes?", en="whose are the common pixels?",
    )  # fmt: skip
    kit.mo.vstack([shift, winner])
    return shift, winner


@app.cell
def _(np):
    def panoptic_quality(truth, found):
        """SQ, RQ and PQ of the segments of one class, each given as a list of masks without overlaps."""
        table = np.array([[(a & b).sum() / (a | b).sum() for b in found] for a in truth])
        pairs = table[table > 0.5]
        sq = float(pairs.mean()) if len(pairs) else 0.0
        rq = len(pairs) / ((len(truth) + len(found)) / 2)  # TP + FP/2 + FN/2 is half of all segments
        return sq, rq, sq * rq

    def round_mask(x, radius=24, side=(72, 132)):
        rows, columns = np.mgrid[: side[0], : side[1]]
        return (rows - side[0] // 2) ** 2 + (columns - x) ** 2 <= radius**2

    front, behind = round_mask(84), round_mask(48)
    references = [front, behind & ~front]  # what is hidden belongs to what hides it

    def answer(moved, first):
        """The two predicted masks after the overlap was given to one of them."""
        right, left = round_mask(84), round_mask(48 + moved)
        return [right, left & ~right] if first == "right" else [right & ~left, left]

    return answer, panoptic_quality, references


@app.cell
def _(answer, kit, np, panoptic_quality, references, shift, t, tones, winner):
    chosen = answer(shift.value, winner.value)
    sq, rq, pq = panoptic_quality(references, chosen)
    _painted = [sum(mask * n for n, mask in enumerate(masks, 1)) for masks in (references, chosen)]
    _shifts = np.arange(31)
    _lines = np.array([panoptic_quality(references, answer(s, winner.value)) for s in _shifts])
    _figure, _axes = kit.plot(5, 2.8)
    for _values, _name, _style in zip(_lines.T, ("SQ", "RQ", "PQ"), ("--", ":", "-"), strict=True):
        _axes.plot(_shifts, _values, _style, label=_name)
    _axes.axvline(shift.value, color="grey", linewidth=0.8)
    _axes.set(xlabel=t.pick("corrimiento, píxeles", "shift, pixels"), ylim=(0, 1.05))
    _axes.legend(loc="lower left")
    t.images(
        (tones[_painted[0]], "referencia", "ground truth"),
        (tones[_painted[1]], f"SQ {sq:.2f} · RQ {rq:.2f} · PQ {pq:.2f}", f"SQ {sq:.2f} · RQ {rq:.2f} · PQ {pq:.2f}"),
        (_figure, "las tres medidas", "the three measures"),
        width=320,
    )
    return


@app.cell(hide_code=True)
def _(answer, np, panoptic_quality, references, t):
    _falls = [
        next((s for s in range(31) if panoptic_quality(references, answer(s, who))[1] < 1), None)
        for who in ("right", "left")
    ]
    _at_zero = [panoptic_quality(references, answer(0, who))[2] for who in ("right", "left")]
    _jump = np.array([panoptic_quality(references, answer(s, "right"))[0] for s in (_falls[0] - 1, _falls[0])])
    t(
        es=f"""
        Sin corrimiento y con el orden correcto, PQ es {_at_zero[0]:.2f}; con el orden contrario, {_at_zero[1]:.2f},
        aunque las dos máscaras eran perfectas: el error está solo en el reparto. La regla usual
        (la del mismo artículo) da el píxel a la máscara de puntaje más alto, que no siempre es la que está delante.

        Mira también el **escalón**. Con el orden correcto, al llegar a {_falls[0]} píxeles la IoU del disco izquierdo
        baja de un medio: RQ cae de golpe a la mitad y SQ *sube* de {_jump[0]:.2f} a {_jump[1]:.2f}, porque el par
        malo ya no entra en su media. Por eso SQ nunca se lee sola.

        ## ¿Basta una semántica perfecta?

        La prueba se puede hacer en nuestras escenas: toma la semántica *verdadera*, pártela en componentes conexas y
        mide su PQ. Todo lo que falte para llegar a 1 se debe a objetos que se tocan o que están partidos.
        """,
        en=f"""
        Without a shift and in the right order PQ is {_at_zero[0]:.2f}; in the other order {_at_zero[1]:.2f}, though
        both masks were perfect: the only error is in sharing them out. The usual rule
        (that of the same paper) gives the pixel to the mask with the higher score, which is not always the one in
        front.

        Look at the **step** too. In the right order, at {_falls[0]} pixels the IoU of the left disc falls below a
        half: RQ drops to a half at once, and SQ *rises* from {_jump[0]:.2f} to {_jump[1]:.2f}, because the bad pair
        no longer counts in its mean. So SQ is never read alone.

        ## Is a perfect semantic map enough?

        Our scenes can tell: take the *true* semantic map, split it into connected components, and measure its PQ.
        All that is missing to 1 comes from objects that touch or that are cut in two.
        """,
    )
    return


@app.cell
def _(components, np, panoptic_quality, records):
    measured = []
    for _record in records[:20]:
        _masks = np.stack([each.mask for each in _record.detections.outlines])
        _kinds = np.array(_record.detections.classes)
        for _kind in set(_kinds):
            _numbers, _count = components(_masks[_kinds == _kind].any(0))
            _split = [_numbers == n for n in range(1, _count + 1)]
            _split = [each for each in _split if each.sum() >= 20]  # specks are no objects
            measured.append(
                (*panoptic_quality(list(_masks[_kinds == _kind]), _split), int((_kinds == _kind).sum()), len(_split))
            )
    measured = np.array(measured)
    alone = measured[:, 3] == 1
    {"one of its class": float(measured[alone, 2].mean()), "several": float(measured[~alone, 2].mean())}
    return alone, measured


@app.cell(hide_code=True)
def _(again, alone, measured, t):
    t(
        es=f"""
        En las escenas donde una clase tiene un solo objeto, PQ es {measured[alone, 2].mean():.2f}; donde tiene varios,
        {measured[~alone, 2].mean():.2f} ({(~alone).sum()} casos). En {(measured[:, 4] < measured[:, 3]).sum()} casos salen menos manchas que objetos,
        porque se tocan; en {(measured[:, 4] > measured[:, 3]).sum()} salen más, porque uno está dibujado en partes. En fotos de calles, de gente o de células, los
        objetos que se tocan son lo normal, y este atajo sirve todavía menos. (Y la cuenta de arriba, ida y vuelta con
        $1000\\,k + i$: **{again}**.)

        ## Cuál pedir

        | la pregunta | la respuesta que basta |
        |---|---|
        | ¿cuánto bosque hay?, ¿qué parte de la piel está dañada? | semántica |
        | ¿cuántas células?, ¿qué caja tomo primero? | de instancias |
        | ¿por dónde puede pasar el auto, y quién cruza? | panóptica |

        Anotar cuesta en ese mismo orden: cada objeto por separado toma más tiempo que pintar una clase. Pide la más
        barata que responda tu pregunta.

        ## Lo que sale mal, y cómo se ve

        - **Un objeto con dos números**: uno delante lo parte; se arregla con instancias, no con otro umbral.
        - **Un borde con la clase de nadie**: al resolver superposiciones quedan píxeles sin dueño.
        - **SQ alta y PQ baja**: recorta bien lo poco que encuentra. Revisa el umbral del puntaje.
        - **RQ alta y PQ baja**: encuentra todo y lo recorta mal. Falta resolución (lección 3.3).

        ## Ejercicios

        **1.** ¿Por qué con IoU > 0,5 cada segmento tiene a lo más una pareja, si los segmentos no se superponen?
        """,
        en=f"""
        In scenes where a class has a single object PQ is {measured[alone, 2].mean():.2f}; where it has several,
        {measured[~alone, 2].mean():.2f} ({(~alone).sum()} cases). In {(measured[:, 4] < measured[:, 3]).sum()} cases there are fewer regions than objects,
        because they touch; in {(measured[:, 4] > measured[:, 3]).sum()} there are more, because one is drawn in parts. In photographs of streets, people or cells, objects that touch
        are the rule, and this short cut serves even less. (And the sum above, there and back with $1000\\,k + i$: **{again}**.)

        ## Which one to ask for

        | the question | the answer that suffices |
        |---|---|
        | how much forest is there? which part of the skin is damaged? | semantic |
        | how many cells? which box do I take first? | instance |
        | where can the car pass, and who is crossing? | panoptic |

        Annotation costs rise in that order: each object by itself takes longer than painting a class. Ask for the
        cheapest that answers your question.

        ## What goes wrong, and how one sees it

        - **One object with two numbers**: another one in front cuts it; instances cure it, another threshold does
          not.
        - **A border that is nobody's**: where overlaps were resolved, pixels without an owner are left.
        - **High SQ, low PQ**: it cuts out well the little that it finds. Check the threshold of the score.
        - **High RQ, low PQ**: it finds everything and cuts it out badly. Resolution is missing (lesson 3.3).

        ## Exercises

        **1.** Why does each segment have at most one partner where IoU > 0.5, if segments do not overlap?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Si la IoU con $B$ pasa de un medio, $A$ comparte con $B$ más de la mitad de su propia área. Otro segmento
        disjunto de $B$ solo dispone de la mitad restante, así que no puede pasar de un medio.
    """,
        en="""
        If the IoU with $B$ is above a half, $A$ shares more than half of its own area with $B$. Another segment,
        disjoint from $B$, has only the other half, so it cannot exceed a half.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Hay 3 autos. Se predicen 3 segmentos: dos con IoU 0,8 y 0,6 y uno con IoU 0,3. Calcula PQ.
    """,
        en="""
        **2.** There are 3 cars. 3 segments are predicted: two with IoU 0.8 and 0.6, and one with IoU 0.3. Compute
        PQ.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        TP = 2, FP = 1 (la tercera predicción) y FN = 1 (el tercer auto). $\text{PQ} = \frac{1{,}4}{2} \cdot
        \frac{2}{3} = 0{,}467$.
    """,
        en=r"""
        TP = 2, FP = 1 (the third prediction) and FN = 1 (the third car). $\text{PQ} = \frac{1.4}{2} \cdot
        \frac{2}{3} = 0.467$.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** La red encuentra los 10 autos con IoU 0,9, pero parte uno en dos mitades iguales. ¿Qué pasa con TP, FP
        y FN, y cuánto baja PQ?
    """,
        en="""
        **3.** The network finds all 10 cars with an IoU of 0.9, but it splits one into two equal halves. What happens
        to TP, FP and FN, and how far does PQ fall?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        Cada mitad tiene una IoU de a lo más un medio, que no pasa de 0,5: no hay par. Quedan TP = 9, FP = 2 y FN = 1,
        y $\text{RQ} = \frac{9}{9 + 1 + 0{,}5} = 0{,}857$. PQ baja de 0,9 a $0{,}9 \cdot 0{,}857 = 0{,}771$. La IoU
        *semántica* de esa imagen no cambia nada: los píxeles siguen siendo de «auto».
    """,
        en=r"""
        Each half has an IoU of a half at most, which is not above 0.5: there is no pair. That leaves TP = 9, FP = 2
        and FN = 1, and $\text{RQ} = \frac{9}{9 + 1 + 0.5} = 0.857$. PQ falls from 0.9 to $0.9 \cdot 0.857 = 0.771$.
        The *semantic* IoU of this image does not change at all: the pixels still say "car".
    """,
    )
    return


if __name__ == "__main__":
    app.run()
