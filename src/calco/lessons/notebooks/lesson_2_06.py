import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.6 · Arquitecturas relevantes · Relevant architectures",
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
        "2.6",
        es=r"""
        Cien mil salidas son fondo, y diez son objetos. ¿Cómo aprende una red con eso? Mueve $\gamma$ y mira quién manda
        en la pérdida: de esa idea nació RetinaNet.
        """,
        en=r"""
        A hundred thousand outputs are background, and ten are objects. How does a network learn from this? Move
        $\gamma$ and see what dominates the loss: RetinaNet was born of this idea.
        """,
    )
    return (t,)


@app.cell
def _(kit, t):
    gamma = t.slider(0, 5, step=0.25, value=2, es="γ", en="γ")
    easy = t.slider(steps=[100, 1000, 10000, 100000], value=100000, es="fondos fáciles", en="easy backgrounds")
    kit.mo.hstack([gamma, easy], justify="start")
    return easy, gamma


@app.cell
def _(easy, gamma):
    import numpy as np

    def focal_loss(p, gamma):
        """Return the loss of an output that gives the true answer the probability p."""
        return -((1 - p) ** gamma) * np.log(p)

    _easy = easy.value * focal_loss(0.99, gamma.value)  # backgrounds, already recognised
    _hard = 10 * focal_loss(0.2, gamma.value)  # ten objects that the network does not see yet
    hard_share = _hard / (_easy + _hard)
    plain_share = 10 * focal_loss(0.2, 0) / (easy.value * focal_loss(0.99, 0) + 10 * focal_loss(0.2, 0))
    return focal_loss, hard_share, np, plain_share


@app.cell(hide_code=True)
def _(focal_loss, gamma, hard_share, kit, np, plain_share, t):
    _p = np.linspace(0.01, 1, 200)
    _figure, (_curve, _bars) = kit.plot(8, 3, columns=2)
    for _g in sorted({0, 2, gamma.value}):
        _curve.plot(_p, focal_loss(_p, _g), label=f"γ = {_g:g}", lw=3 if _g == gamma.value else 1)
    _curve.set(
        xlabel=t.pick("probabilidad de la respuesta correcta", "probability of the true answer"),
        ylabel=t.pick("pérdida", "loss"),
        ylim=(0, 4),
    )
    _curve.legend()
    _bars.bar(["γ = 0", f"γ = {gamma.value:g}"], [plain_share, hard_share], color=["grey", "tab:orange"])
    _bars.set(ylabel=t.pick("parte de los diez objetos", "share of the ten objects"), ylim=(0, 1))
    t.image(
        _figure,
        es=f"Los diez objetos difíciles aportan el {plain_share:.1%} de la entropía cruzada y el {hard_share:.1%} de la pérdida focal",
        en=f"The ten hard objects make up {plain_share:.1%} of the cross-entropy and {hard_share:.1%} of the focal loss",
        width=680,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La pérdida focal

        La entropía cruzada, $-\ln p$, de un fondo ya reconocido con $p = 0{,}99$ vale apenas 0,01; pero cien mil de
        ellos suman mil, y ahogan a los diez objetos. La pérdida focal (Lin y otros, 2017) baja el peso de lo que ya se
        sabe:

        $$\text{FL}(p) = -(1 - p)^{\gamma} \ln p$$

        Con $\gamma = 2$ ese fondo pesa $0{,}01^2$: diez mil veces menos. Con $\gamma = 0$ es la entropía cruzada. En el
        artículo se multiplica además por un peso $\alpha$ por clase; `lite`, el detector de Calco, usa una pariente, la
        *varifocal*.

        ## La historia, en orden

        Cada modelo corrige un defecto del anterior.
        """,
        en=r"""
        ## The focal loss

        The cross-entropy, $-\ln p$, of a background that is recognised with $p = 0.99$ is only 0.01; but a hundred
        thousand of them add up to a thousand, and drown the ten objects. The focal loss (Lin and others, 2017) lowers
        the weight of what is known already:

        $$\text{FL}(p) = -(1 - p)^{\gamma} \ln p$$

        With $\gamma = 2$ this background weighs $0.01^2$: ten thousand times less. With $\gamma = 0$ it is the
        cross-entropy. The paper also multiplies by a weight $\alpha$ for each class; `lite`, Calco's detector, uses a
        relative, the *varifocal* loss.

        ## The history, in order

        Each model repairs a fault of the one before.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    _models = (
        (
            "R-CNN",
            "Girshick et al.",
            "CVPR 2014",
            "1311.2524",
            "unas 2000 regiones propuestas, una red por cada recorte",
            "about 2000 proposed regions, a network on each crop",
        ),
        (
            "Fast R-CNN",
            "Girshick",
            "ICCV 2015",
            "1504.08083",
            "la red se calcula una vez; las regiones se recortan del mapa",
            "the network runs once; regions are cropped from the map",
        ),
        (
            "Faster R-CNN",
            "Ren et al.",
            "NeurIPS 2015",
            "1506.01497",
            "una red propone las regiones, con cajas de anclaje",
            "a network proposes the regions, with anchor boxes",
        ),
        (
            "YOLO",
            "Redmon et al.",
            "CVPR 2016",
            "1506.02640",
            "una etapa: cada celda de una rejilla dice sus cajas",
            "one stage: each cell of a grid names its boxes",
        ),
        (
            "SSD",
            "Liu et al.",
            "ECCV 2016",
            "1512.02325",
            "una etapa, con anclas en mapas de varias zancadas",
            "one stage, with anchors on maps of several strides",
        ),
        (
            "FPN",
            "Lin et al.",
            "CVPR 2017",
            "1612.03144",
            "pirámide de características: lo fino recibe contexto",
            "feature pyramid: fine maps receive context",
        ),
        (
            "Mask R-CNN",
            "He et al.",
            "ICCV 2017",
            "1703.06870",
            "Faster R-CNN con una máscara por objeto",
            "Faster R-CNN with a mask for each object",
        ),
        (
            "RetinaNet",
            "Lin et al.",
            "ICCV 2017",
            "1708.02002",
            "pérdida focal: una etapa iguala a dos",
            "focal loss: one stage equals two",
        ),
        (
            "FCOS",
            "Tian et al.",
            "ICCV 2019",
            "1904.01355",
            "sin anclas: distancias a los cuatro lados",
            "no anchors: distances to the four sides",
        ),
        (
            "DETR",
            "Carion et al.",
            "ECCV 2020",
            "2005.12872",
            "transformador, asignación uno a uno, sin NMS",
            "transformer, one-to-one assignment, no NMS",
        ),
        (
            "RT-DETR",
            "Zhao et al.",
            "CVPR 2024",
            "2304.08069",
            "codificador híbrido: DETR en tiempo real",
            "hybrid encoder: DETR in real time",
        ),
        (
            "D-FINE",
            "Peng et al.",
            "ICLR 2025",
            "2410.13842",
            "cada lado es una distribución que se refina",
            "each side is a distribution that is refined",
        ),
    )
    t.table(
        [
            {
                t.pick("modelo", "model"): _name,
                t.pick("autores", "authors"): _authors,
                t.pick("publicado", "published"): _where,
                t.pick("idea", "idea"): t.pick(_es, _en),
                "arXiv": f"[{_number}](https://arxiv.org/abs/{_number})",
            }
            for _name, _authors, _where, _number, _es, _en in _models
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## La familia R-CNN: calcular una sola vez

        R-CNN pasa la red por unas dos mil regiones que comparten casi todos sus píxeles. Fast R-CNN la pasa una vez por
        la imagen y recorta las regiones del *mapa de características*. Faster R-CNN aprende además a proponerlas. La
        cuenta, en operaciones de la red, para regiones que cubren cada una una décima parte de la imagen:
        """,
        en="""
        ## The R-CNN family: compute once

        R-CNN runs the network on some two thousand regions, which share most of their pixels. Fast R-CNN runs it once
        on the image, and crops the regions from the *feature map*. Faster R-CNN also learns to propose them. The sum,
        in operations of the network, for regions that cover a tenth of the image each:
        """,
    )
    return


@app.cell
def _(t):
    regions = t.slider(100, 2000, step=100, value=2000, es="regiones", en="regions")
    regions
    return (regions,)


@app.cell
def _(regions):
    per_crop, per_image = regions.value * 0.1, 1.0  # in passes over a whole image; crops at their own size
    per_crop / per_image
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        R-CNN cuesta ese número de veces más, y en verdad más aún: agranda cada recorte al tamaño de entrada de la red.

        ## YOLO y SSD: una etapa

        El YOLO original divide la imagen en $S \times S$ celdas; cada una predice $B$ cajas de 5 números y $C$
        probabilidades:

        $$S \times S \times (5B + C) = 7 \times 7 \times (5 \cdot 2 + 20) = 1470$$

        números en una sola pasada. Su defecto: cada celda tiene una sola clase, así que una bandada de pájaros pequeños
        se pierde. SSD responde con mapas de varias zancadas; RetinaNet, con la pirámide y la pérdida focal. «YOLO» es
        hoy el nombre de muchas redes de autores distintos, y varias no tienen una licencia permisiva: lee la licencia
        antes de elegir una.

        ## FCOS: cuatro distancias

        Desde un punto $(x, y)$ dentro del objeto se predicen $l = x - x_1$, $t = y - y_1$, $r = x_2 - x$, $b = y_2 -
        y$. Un punto del borde predice mal; por eso FCOS aprende además cuán **centrado** está, y multiplica el puntaje
        por

        $$c = \sqrt{\frac{\min(l, r)}{\max(l, r)} \cdot \frac{\min(t, b)}{\max(t, b)}}$$
        """,
        en=r"""
        R-CNN costs this many times more, and in truth still more: it enlarges each crop to the input size of the
        network.

        ## YOLO and SSD: one stage

        The original YOLO divides the image into $S \times S$ cells; each predicts $B$ boxes of 5 numbers, and $C$
        probabilities:

        $$S \times S \times (5B + C) = 7 \times 7 \times (5 \cdot 2 + 20) = 1470$$

        numbers in a single pass. Its fault: each cell has one class, so a flock of small birds is lost. SSD answers
        with maps of several strides; RetinaNet with the pyramid and the focal loss. "YOLO" is today the name of many
        networks by different authors, and several are not under a permissive licence: read the licence before you
        choose one.

        ## FCOS: four distances

        From a point $(x, y)$ inside the object the network predicts $l = x - x_1$, $t = y - y_1$, $r = x_2 - x$, $b =
        y_2 - y$. A point at the border predicts badly; so FCOS also learns how **central** it is, and multiplies the
        score by

        $$c = \sqrt{\frac{\min(l, r)}{\max(l, r)} \cdot \frac{\min(t, b)}{\max(t, b)}}$$
        """,
    )
    return


@app.cell
def _(np):
    def centreness(x, y, box):
        left, top, right, bottom = x - box[0], y - box[1], box[2] - x, box[3] - y
        across = np.minimum(left, right) / np.maximum(left, right)
        return np.sqrt(across * np.minimum(top, bottom) / np.maximum(top, bottom))

    grid_x, grid_y = np.meshgrid(np.arange(0.5, 120), np.arange(0.5, 80))
    central = centreness(grid_x, grid_y, (0, 0, 120, 80))
    return (central,)


@app.cell(hide_code=True)
def _(central, np, t):
    t.image(
        central.astype(np.float32),
        es=f"Centralidad en una caja de 120 × 80: 1 en el centro, 0 en el borde, {central.mean():.2f} en promedio",
        en=f"Centre-ness in a box of 120 × 80: 1 in the middle, 0 at the border, {central.mean():.2f} on average",
        width=360,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## DETR, RT-DETR y D-FINE: conjuntos

        DETR entrega un conjunto (lección 2.5), sin anclas ni NMS, pero el original tarda cientos de épocas en aprender
        y en mapas finos la atención es cara: su costo crece con el cuadrado del número de celdas. RT-DETR la aplica
        solo al mapa más pequeño, mezcla los otros con convoluciones y elige las consultas iniciales entre las celdas
        más seguras. D-FINE cambia la caja: en vez de un número por lado, una **distribución** sobre desplazamientos,
        que cada capa refina; la posición es su promedio. Así la red puede decir «no estoy segura de dónde termina».
        """,
        en="""
        ## DETR, RT-DETR and D-FINE: sets

        DETR delivers a set (lesson 2.5), without anchors or NMS, but the original takes hundreds of epochs to learn,
        and on fine maps attention is expensive: its cost grows with the square of the number of cells. RT-DETR applies
        it to the smallest map alone, mixes the others by convolutions, and picks its initial queries among the most
        certain cells. D-FINE changes the box: in place of one number for each side, a **distribution** over offsets,
        which each layer refines; the position is its mean. So the network can say "I am not sure where it ends".
        """,
    )
    return


@app.cell
def _():
    cells = {stride: (640 // stride) ** 2 for stride in (8, 16, 32)}
    attention = {stride: number**2 for stride, number in cells.items()}  # pairs of cells that attend to each other
    {
        "cells": cells,
        "times the cost of stride 32": {stride: pairs // attention[32] for stride, pairs in attention.items()},
    }
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## La pérdida de `lite`

        Así se unen las piezas en el detector de Calco: una pérdida varifocal para el puntaje, y la GIoU de la lección
        2.4 para la caja.
        """,
        en="""
        ## The loss of `lite`

        This is how the pieces come together in Calco's detector: a varifocal loss for the score, and the GIoU of lesson
        2.4 for the box.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.lite:dense_losses")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Cuál usar

        - **Pocas imágenes, una laptop**: `calco detect train --model lite`; una etapa, sin anclas, con backbone
          preentrenado.
        - **Una GPU y pesos de COCO**: `--model d-fine` o `--model rt-detr-v2`, con licencia permisiva.
        - **Máscaras además de cajas**: la familia Mask R-CNN, o la parte 3 del curso.

        ## Ejercicios

        **1.** ¿Con qué $\gamma$ aportan los diez objetos por lo menos la mitad de la pérdida, con 100.000 fondos
        fáciles? Búscalo con el control y luego con código.
        """,
        en=r"""
        ## Which one to use

        - **Few images, a laptop**: `calco detect train --model lite`; one stage, anchor-free, with a pretrained
          backbone.
        - **A GPU, and weights from COCO**: `--model d-fine` or `--model rt-detr-v2`, under permissive licences.
        - **Masks as well as boxes**: the Mask R-CNN family, or part 3 of the course.

        ## Exercises

        **1.** For which $\gamma$ do the ten objects make up at least half of the loss, with 100,000 easy backgrounds?
        Find it with the slider, then by code.
        """,
    )
    return


@app.cell(hide_code=True)
def _(focal_loss, np, t):
    _g = np.arange(0, 5, 0.01)
    _enough = float(_g[np.argmax(10 * focal_loss(0.2, _g) >= 100000 * focal_loss(0.99, _g))])
    t.solution(
        es=f"Se igualan con $10 \\cdot 0{{,}}8^\\gamma \\ln 5 = 10^5 \\cdot 0{{,}}01^\\gamma (-\\ln 0{{,}}99)$: desde γ ≈ {_enough:.2f}.",
        en=f"They are equal where $10 \\cdot 0.8^\\gamma \\ln 5 = 10^5 \\cdot 0.01^\\gamma (-\\ln 0.99)$: from γ ≈ {_enough:.2f} on.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Por qué Faster R-CNN no necesita la pérdida focal?
        """,
        en="""
        **2.** Why does Faster R-CNN not need the focal loss?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Su primera etapa ya descarta casi todo el fondo, y la segunda entrena con una muestra equilibrada de regiones.
        Una etapa sola ve todo a la vez, y es la pérdida la que tiene que equilibrar.
        """,
        en="""
        Its first stage discards most of the background, and the second trains on a balanced sample of regions. A single
        stage sees everything at once, and the loss has to do the balancing.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
