import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.4 · Ver la IoU · Seeing IoU")


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
        "2.4",
        es="""
        Arrastra las cajas y mira cómo cambia el número. ¿Cuánto se parecen dos cajas? De la respuesta dependen tres
        cosas: si una detección cuenta como acierto, cuál de muchas cajas repetidas se queda y hacia dónde aprende la
        red.
        """,
        en="""
        Drag the boxes, and watch the number change. How similar are two boxes? Three things depend on the answer:
        whether a detection counts as right, which of many repeated boxes stays, and in which direction the network
        learns.
        """,
    )
    return (t,)


@app.cell
def _(kit):
    pair = kit.boxes([[60, 50, 180, 150], [120, 80, 240, 170]], labels=("A", "B"))
    pair
    return (pair,)


@app.cell
def _(pair, t):
    import numpy as np

    from calco.detection import giou, iou

    a, b = np.array(pair.value["boxes"], np.float32)
    overlap = iou(a[None], b[None])[0, 0]
    generalised = giou(a[None], b[None])[0, 0]
    t(
        es=f"**IoU = {overlap:.3f}** · GIoU = {generalised:.3f}",
        en=f"**IoU = {overlap:.3f}** · GIoU = {generalised:.3f}",
    )
    return a, b, giou, iou, np


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        *Mouse o dedo: arrastra una caja, o su esquina para cambiar el tamaño. Teclado: Tab elige una caja, las flechas
        la mueven y Mayús + flechas cambia su tamaño.*

        ## La idea

        Una caja son cuatro números: izquierda, arriba, derecha y abajo, en píxeles. De dos cajas $A$ y $B$,

        $$\text{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|} = \frac{|A \cap B|}{|A| + |B| - |A \cap B|}$$

        es la *intersección sobre la unión*: el área que comparten, dividida entre el área que cubren juntas. Vale 1 si
        las cajas son iguales y 0 si no se tocan. No depende de la escala: si la imagen se amplía al doble, las dos
        áreas se multiplican por cuatro y el cociente no cambia.

        ## El código más corto

        La intersección de dos rectángulos es otro rectángulo. Empieza donde empieza el último de los dos y termina
        donde termina el primero; si eso da un ancho o un alto negativo, no hay intersección.
        """,
        en=r"""
        *Mouse or finger: drag a box, or its corner to change the size. Keyboard: Tab chooses a box, the arrows move it,
        Shift + arrows change its size.*

        ## The idea

        A box is four numbers: left, top, right and bottom, in pixels. For two boxes $A$ and $B$,

        $$\text{IoU}(A, B) = \frac{|A \cap B|}{|A \cup B|} = \frac{|A \cap B|}{|A| + |B| - |A \cap B|}$$

        is the *intersection over union*: the area that they share, divided by the area that they cover together. It is
        1 for equal boxes and 0 for boxes that do not meet. It does not depend on scale: in an image of twice the size
        both areas are four times as large, and their ratio stays.

        ## The smallest code

        The intersection of two rectangles is a rectangle. It begins where the later of the two begins, and ends where
        the earlier one ends; if that gives a negative width or height, there is no intersection.
        """,
    )
    return


@app.cell
def _(a, b):
    def my_iou(first, second):
        width = min(first[2], second[2]) - max(first[0], second[0])
        height = min(first[3], second[3]) - max(first[1], second[1])
        shared = max(width, 0) * max(height, 0)
        both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)) - shared
        return shared / both

    float(my_iou(a, b))
    return (my_iou,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        La biblioteca hace la misma cuenta con todas las parejas de dos listas a la vez, en NumPy:
        """,
        en="""
        The library does the same sum for all pairs of two lists at once, in NumPy:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.detection.boxes:iou")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        La IoU es severa. Mueve una caja cuadrada hacia la derecha sobre otra igual: cuando aún comparten la mitad, la
        IoU ya no es un medio sino un tercio. Elige el lado de la caja y el desplazamiento:
        """,
        en="""
        ## What it shows

        IoU is strict. Move a square box to the right over an equal one: while they still share one half, IoU is no
        longer a half but a third. Choose the side of the box and the shift:
        """,
    )
    return


@app.cell
def _(kit, t):
    side = t.slider(4, 200, value=100, es="lado, píxeles", en="side, pixels")
    shift = t.slider(0, 200, value=50, es="desplazamiento, píxeles", en="shift, pixels")
    kit.mo.hstack([side, shift], justify="start", wrap=True)
    return shift, side


@app.cell
def _(giou, iou, kit, np, shift, side, t):
    still = np.array([[0, 0, side.value, side.value]], np.float32)
    shifts = np.arange(0, 201)
    moved = still + shifts[:, None] * np.array([1, 0, 1, 0], np.float32)
    here = iou(still, moved[shift.value][None])[0, 0]
    _figure, _axes = kit.plot()
    _axes.plot(shifts, iou(still, moved)[0], label="IoU")
    _axes.plot(shifts, giou(still, moved)[0], label="GIoU")
    _axes.axhline(0.5, linestyle=":", color="grey")
    _axes.plot([shift.value], [here], "o", color="black")
    _axes.set(xlabel=t.pick("desplazamiento, píxeles", "shift, pixels"), ylabel="IoU, GIoU")
    _axes.legend()
    t.image(
        _figure,
        es=f"Una caja de {side.value} píxeles, desplazada {shift.value}: IoU = {here:.3f}",
        en=f"A box of {side.value} pixels, shifted by {shift.value}: IoU = {here:.3f}",
        width=560,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        - **Un objeto pequeño pierde más.** Con un lado de 20 píxeles, un error de 7 píxeles baja la IoU de 1 a menos de
          0,5; con un lado de 200, apenas a 0,93. Por eso las métricas separan los objetos por tamaño.
        - **Desde 0,5 una caja suele contar como acierto.** Esa es la línea de puntos. COCO promedia los umbrales 0,50,
          0,55, …, 0,95.
        - **Con cajas que no se tocan, la IoU es 0, estén cerca o lejos**: no dice hacia dónde moverse, y su gradiente es
          cero. La IoU *generalizada* resta la parte de la menor caja $C$ alrededor de ambas que ninguna cubre (Rezatofighi
          y otros, 2019):

        $$\text{GIoU}(A, B) = \text{IoU}(A, B) - \frac{|C \setminus (A \cup B)|}{|C|}$$

        Va de −1 a 1, y sigue bajando cuando la distancia crece. Los detectores la usan como función de pérdida:
        $1 - \text{GIoU}$.
        """,
        en=r"""
        - **A small object loses more.** With a side of 20 pixels, an error of 7 pixels takes IoU from 1 to below 0.5;
          with a side of 200, to no less than 0.93. This is why metrics separate objects by size.
        - **From 0.5 on, a box usually counts as right.** This is the dotted line. COCO averages the thresholds 0.50,
          0.55, …, 0.95.
        - **For boxes that do not meet, IoU is 0, near or far**: it does not say in which direction to move, and its
          gradient is zero. The *generalised* IoU subtracts the part of the smallest box $C$ around both that neither
          covers (Rezatofighi and others, 2019):

        $$\text{GIoU}(A, B) = \text{IoU}(A, B) - \frac{|C \setminus (A \cup B)|}{|C|}$$

        It runs from −1 to 1, and keeps falling as the distance grows. Detectors use it as a loss: $1 - \text{GIoU}$.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Dos cuadrados de 10 píxeles, uno 5 píxeles a la derecha del otro. Calcula la IoU a mano y compruébala con
        `my_iou`.
        """,
        en="""
        ## Exercises

        **1.** Two squares of 10 pixels, one 5 pixels to the right of the other. Work out their IoU by hand, and check it
        with `my_iou`.
        """,
    )
    return


@app.cell(hide_code=True)
def _(my_iou, t):
    third = my_iou([0, 0, 10, 10], [5, 0, 15, 10])
    t.solution(
        es=rf"""
        Comparten $5 \cdot 10 = 50$ píxeles y cubren $100 + 100 - 50 = 150$: un tercio. `my_iou([0, 0, 10, 10],
        [5, 0, 15, 10])` da {third:.4f}.
        """,
        en=rf"""
        They share $5 \cdot 10 = 50$ pixels and cover $100 + 100 - 50 = 150$: a third. `my_iou([0, 0, 10, 10],
        [5, 0, 15, 10])` gives {third:.4f}.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Una caja está dentro de otra y cubre un cuarto de su área. ¿Cuánto vale la IoU? ¿Y la GIoU?
        """,
        en="""
        **2.** A box lies inside another and covers a quarter of its area. What is IoU? And GIoU?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        La intersección es la caja pequeña y la unión la grande: la IoU es $1/4$. La menor caja alrededor de ambas es la
        grande misma, así que no se resta nada: la GIoU también es $1/4$. Arrastra las cajas de arriba para comprobarlo.
        """,
        en=r"""
        The intersection is the small box, and the union the large one: IoU is $1/4$. The smallest box around both is the
        large one itself, so nothing is subtracted: GIoU is $1/4$ too. Drag the boxes above to check it.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
