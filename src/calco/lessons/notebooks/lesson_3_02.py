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
    record = max(records[:20], key=lambda each: len(each.detections.boxes) - len(set(each.detections.classes)))
    scene = calco.read_image(folder / "images" / record.name)
    names = record.detections.classes
    masks = np.stack([outline.mask for outline in record.detections.outlines])  # objects, H, W

    semantic = np.zeros(scene.shape[:2], int)
    instance = np.zeros(scene.shape[:2], int)
    for place, (name, mask) in enumerate(zip(names, masks, strict=True), 1):
        semantic[mask] = segmenting.CLASSES.index(name)
        instance[mask] = place
    names
    return instance, names, np, scene, segmenting, semantic


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

        De una panóptica se obtienen las otras dos borrando información. Al revés no se puede: la semántica no sabe
        dónde termina un auto y empieza otro.

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

        From a panoptic answer one gets the other two by forgetting something. The reverse is impossible: a semantic
        map does not know where one car ends and the next begins.

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

        Para medir una panóptica se emparejan segmentos predichos y de referencia de la misma clase con IoU > 0,5;
        con TP pares, FP sobrantes y FN faltantes,

        $$\text{PQ} = \underbrace{\frac{\sum_{\text{pares}} \text{IoU}}{TP}}_{\text{calidad de las máscaras}} \cdot \underbrace{\frac{TP}{TP + \frac12 FP + \frac12 FN}}_{\text{calidad del reconocimiento}}$$

        ## Ejercicios

        **1.** ¿Por qué con IoU > 0,5 cada segmento tiene a lo más una pareja, si los segmentos no se superponen?
    """,
        en=r"""
        ## What it shows

        While the discs touch, the count is 1. Connected components are also wrong in the other direction: an object
        that another one cuts in two gives two regions. So instance segmentation is not a step after the semantic
        one: the network must learn what *one* object is.

        To measure a panoptic answer, predicted and true segments of a class are matched where IoU > 0.5; with TP
        pairs, FP left over and FN missing,

        $$\text{PQ} = \underbrace{\frac{\sum_{\text{pairs}} \text{IoU}}{TP}}_{\text{quality of the masks}} \cdot \underbrace{\frac{TP}{TP + \frac12 FP + \frac12 FN}}_{\text{quality of recognition}}$$

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


if __name__ == "__main__":
    app.run()
