import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.3 · Tipos y arquitecturas · Kinds and architectures",
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
        "3.3",
        es="""
        Mueve la dilatación: con los mismos nueve pesos, un filtro ve 3, 5 o 17 píxeles de lado. Cada familia de
        redes de segmentación responde a la misma pregunta: ¿cómo ver lejos sin perder el detalle?
    """,
        en="""
        Move the dilation: with the same nine weights, a filter sees 3, 5 or 17 pixels across. Each family of
        segmentation networks answers one question: how to see far without losing detail?
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    dilation = t.slider(1, 8, value=2, es="dilatación", en="dilation")
    layers = t.slider(1, 4, value=2, es="capas", en="layers")
    kit.mo.hstack([dilation, layers], justify="start", wrap=True)
    return dilation, layers


@app.cell
def _(dilation, layers, t):
    import numpy as np
    import torch
    from torch import nn

    def field(convs, side=81):
        """Which pixels the middle of the output depends on: where its gradient is not zero."""
        x = torch.zeros(1, 1, side, side, requires_grad=True)
        y = x
        for conv in convs:
            y = conv(y)
        y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
        return x.grad[0, 0].numpy()

    def ones(dilation):
        conv = nn.Conv2d(1, 1, 3, padding=dilation, dilation=dilation, bias=False)
        nn.init.ones_(conv.weight)
        return conv

    seen = field([ones(dilation.value) for _ in range(layers.value)])
    rows = np.flatnonzero(seen.any(1))
    measured = int(rows[-1] - rows[0] + 1)
    t.image(
        np.sqrt(seen / seen.max()).astype(np.float32),
        es=f"{layers.value} capas de 3 × 3 con dilatación {dilation.value}: campo receptivo de {measured} píxeles; usa {np.count_nonzero(seen)} de ellos",
        en=f"{layers.value} layers of 3 × 3 with dilation {dilation.value}: receptive field of {measured} pixels; it uses {np.count_nonzero(seen)} of them",
        width=324,
    )
    return field, measured, np, ones


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Para decidir si un píxel blanco es de un camión o de la pared, hay que ver lejos; para poner el borde en su
        lugar, hay que ver fino. El **campo receptivo** es el lado del cuadrado de la entrada del que depende una
        salida. Si la capa $l$ tiene un filtro de lado $k_l$, zancada $s_l$ y dilatación $d_l$,

        $$R = 1 + \sum_{l} d_l\,(k_l - 1) \prod_{m<l} s_m$$

        Hay dos formas de hacerlo crecer: la zancada ($s$), que pierde resolución, y la dilatación ($d$), que la
        conserva pero deja huecos entre los píxeles que mira. Con capas de dilatación igual, esos huecos forman una
        rejilla: mira arriba cómo el filtro salta píxeles. Con dilataciones 1, 2, 4 desaparecen.
    """,
        en=r"""
        ## The idea

        To decide whether a white pixel belongs to a lorry or to a wall, one must see far; to put the border in its
        place, one must see finely. The **receptive field** is the side of the square of the input on which one
        output depends. If layer $l$ has a filter of side $k_l$, stride $s_l$ and dilation $d_l$,

        $$R = 1 + \sum_{l} d_l\,(k_l - 1) \prod_{m<l} s_m$$

        There are two ways to make it grow: the stride ($s$), which loses resolution, and the dilation ($d$), which
        keeps it but leaves gaps between the pixels that it looks at. With layers of one dilation these gaps make a
        grid: watch above how the filter skips pixels. With dilations 1, 2, 4 they vanish.
    """,
    )
    return


@app.cell
def _(dilation, field, layers, measured, ones):
    def receptive_field(kernels, strides, dilations):
        size, step = 1, 1
        for kernel, stride, gap in zip(kernels, strides, dilations, strict=True):
            size += gap * (kernel - 1) * step
            step *= stride
        return size

    by_formula = receptive_field([3] * layers.value, [1] * layers.value, [dilation.value] * layers.value)
    smooth = field([ones(1), ones(2), ones(4)])
    by_formula, measured, bool((smooth[33:48, 33:48] > 0).all())
    return by_formula, receptive_field


@app.cell(hide_code=True)
def _(by_formula, measured, t):

    t(
        es=f"""
        La fórmula da {by_formula} y el gradiente {measured}. El último valor dice que con dilataciones 1, 2 y 4 no
        queda ningún hueco en los 15 píxeles que se ven.

        ## Las familias

        - **FCN** (Long y otros, 2015). Toma un clasificador y cambia sus capas finales por convoluciones de 1 × 1:
          da un mapa de clases a 1/32 del tamaño, que se amplía y se suma con los de 1/16 y 1/8. Primera red que
          segmenta de extremo a extremo; bordes borrosos.
        - **U-Net** (Ronneberger y otros, 2015). Un codificador que baja y un decodificador que sube, con
          **conexiones de salto** que *concatenan* el mapa fino del mismo tamaño. Aprende de pocas imágenes. Es la
          de 3.7 y la del generador de Calco.
        - **DeepLab** (Chen y otros, 2016-2018). Deja de bajar en 1/8 o 1/16 y sigue con convoluciones dilatadas.
          ASPP pone en paralelo varias dilataciones (6, 12, 18) para ver objetos de varios tamaños.
        - *Mask R-CNN* (He y otros, 2017). Segmentación de instancias: primero las cajas, luego una máscara de 28 ×
          28 dentro de cada una. RoIAlign interpola en vez de redondear, porque medio píxel del mapa son ocho de la
          imagen.
        - **Transformers**. Mask2Former (2022) predice $N$ máscaras con $N$ consultas: las tres segmentaciones con
          una red. **SAM** (Kirillov y otros, 2023) recibe un punto o una caja y devuelve la máscara: la imagen se
          codifica una vez y cada clic cuesta milisegundos. No sabe nombres de clases.

        Lo que cuesta la atención se calcula: con parches de $p$ píxeles hay $n = HW/p^2$ fichas y $n^2$ parejas.
        Elige:
    """,
        en=f"""
        The formula gives {by_formula}, the gradient {measured}. The last value says that with dilations 1, 2 and 4
        no gap is left in the 15 pixels that are seen.

        ## The families

        - **FCN** (Long and others, 2015). It takes a classifier and replaces its last layers by 1 × 1 convolutions:
          a map of classes at 1/32 of the size, enlarged and added to those of 1/16 and 1/8. The first network that
          segments from end to end; blurred borders.
        - **U-Net** (Ronneberger and others, 2015). An encoder that goes down and a decoder that goes up, with
          **skip connections** that *concatenate* the fine map of the same size. It learns from few images. It is
          the one of 3.7, and of Calco's generator.
        - **DeepLab** (Chen and others, 2016-2018). It stops at 1/8 or 1/16 and goes on with dilated convolutions.
          ASPP has several dilations (6, 12, 18) side by side, for objects of several sizes.
        - **Mask R-CNN** (He and others, 2017). Instance segmentation: first boxes, then a mask of 28 × 28 in each.
          RoIAlign interpolates instead of rounding, because half a pixel of the map is eight of the image.
        - **Transformers**. Mask2Former (2022) predicts $N$ masks from $N$ queries: all three segmentations with one
          network. **SAM** (Kirillov and others, 2023) takes a point or a box and returns the mask: the image is
          encoded once, and each click costs milliseconds. It knows no names of classes.

        What attention costs can be computed: with patches of $p$ pixels there are $n = HW/p^2$ tokens and $n^2$
        pairs. Choose:
    """,
    )
    return


@app.cell
def _(kit, t):
    image_side = t.slider(128, 1024, step=128, value=1024, es="lado de la imagen", en="side of the image")
    patch = t.slider(8, 32, step=8, value=16, es="lado del parche", en="side of the patch")
    kit.mo.hstack([image_side, patch], justify="start", wrap=True)
    return image_side, patch


@app.cell
def _(image_side, patch, t):
    tokens = (image_side.value // patch.value) ** 2
    t(
        es=f"**{tokens} fichas, {tokens**2 / 1e6:.1f} millones de parejas** por cabeza y capa; en float32, {tokens**2 * 4 / 2**20:.0f} MiB.",
        en=f"**{tokens} tokens, {tokens**2 / 1e6:.1f} million pairs** for each head and layer; in float32, {tokens**2 * 4 / 2**20:.0f} MiB.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Cuánto cuesta la resolución perdida

        Una red que decide a $1/s$ del tamaño no puede trazar bordes más finos, *aunque no se equivoque nunca*. Ese
        techo se calcula sin entrenar: reduce la máscara verdadera a $1/s$, amplíala de nuevo y mide su IoU consigo
        misma.
        """,
        en="""
        ## The cost of lost resolution

        A network that decides at $1/s$ of the size cannot trace finer borders, *even if it is never wrong*. This
        ceiling can be computed without training: reduce the true mask to $1/s$, enlarge it again, and measure its
        IoU with itself.
        """,
    )
    return


@app.cell
def _(np, t):
    from calco.lessons import segmenting

    truths = segmenting.labelled("val", 192).classes

    def ceiling(stride):
        """Mean IoU of the classes, without the background, of masks that are kept at 1/stride."""
        coarse = truths[:, stride // 2 :: stride, stride // 2 :: stride]
        again = coarse.repeat(stride, 1).repeat(stride, 2)
        return float(np.nanmean(segmenting.ious(segmenting.confusion(truths, again))[1:]))

    ceilings = {stride: ceiling(stride) for stride in (1, 2, 4, 8, 16, 32)}
    t.table(
        [
            {t.pick("zancada de salida", "output stride"): s, t.pick("IoU más alta posible", "highest IoU possible"): v}
            for s, v in ceilings.items()
        ]
    )
    return (ceilings,)


@app.cell(hide_code=True)
def _(ceilings, t):
    t(
        es=rf"""
        A 1/32, la zancada de FCN-32s, lo mejor que se puede lograr en estas escenas es {ceilings[32]:.2f}; a 1/8,
        {ceilings[8]:.2f}; a 1/4, {ceilings[4]:.2f}. FCN suma mapas de 1/16 y 1/8, DeepLab no baja de 1/8 y U-Net
        vuelve hasta 1: tres respuestas al mismo techo.

        ## El campo efectivo

        El campo receptivo dice qué píxeles *pueden* influir. ¿Cuánto influyen de verdad? Con pesos al azar, el
        gradiente de $n$ capas de 3 × 3 es una suma de muchos caminos: casi todos pasan por el centro. Su forma es
        una campana, y su ancho crece como $\sqrt{{n}}$, mientras el campo teórico crece como $n$ (Luo y otros,
        2016). Mide las dos cosas:
        """,
        en=rf"""
        At 1/32, the stride of FCN-32s, the best that can be reached on these scenes is {ceilings[32]:.2f}; at 1/8
        {ceilings[8]:.2f}; at 1/4 {ceilings[4]:.2f}. FCN adds maps of 1/16 and 1/8, DeepLab stops at 1/8, and U-Net
        comes back to 1: three answers to one ceiling.

        ## The effective field

        The receptive field tells which pixels *can* matter. How much do they? With random weights, the gradient of
        $n$ layers of 3 × 3 is a sum over many paths: nearly all pass through the middle. It has the form of a bell,
        and its width grows like $\sqrt{{n}}$, while the theoretical field grows like $n$ (Luo and others, 2016).
        Measure both:
        """,
    )
    return


@app.cell
def _(field, np, ones, t):
    def effective(count):
        """Theoretical side, and twice the standard deviation of the influence, of layers of equal weights."""
        influence = field([ones(1) for _ in range(count)])
        across = influence.sum(0) / influence.sum()
        places = np.arange(len(across)) - len(across) // 2
        return 2 * count + 1, 2 * float(np.sqrt((across * places**2).sum()))

    t.table(
        [
            {
                t.pick("capas", "layers"): n,
                t.pick("campo teórico", "theoretical field"): effective(n)[0],
                "2 σ": effective(n)[1],
            }
            for n in (1, 4, 9, 16, 25)
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        De 4 a 16 capas el campo teórico se cuadruplica y el efectivo se duplica. Por eso no se llega lejos apilando
        capas: hay que bajar de tamaño, dilatar o usar atención.

        ## Lo que sale mal, y cómo se ve

        - **Un objeto grande, pintado por partes**: campo efectivo corto. Más niveles o ASPP.
        - **Bordes en escalera**: zancada de salida grande. Saltos, o un decodificador.
        - **Una rejilla en la máscara**: dilataciones iguales; usa 1, 2, 4.
        - **Objetos pequeños que desaparecen**: menos de un píxel en el mapa más chico.

        | necesitas | familia |
        |---|---|
        | áreas, pocas imágenes | U-Net |
        | escenas de calle, muchas clases | DeepLab, Mask2Former |
        | contar objetos | *Mask R-CNN*, Mask2Former |
        | recortar con un clic, sin clases | SAM |
        """,
        en="""
        From 4 to 16 layers the theoretical field grows fourfold, the effective one twofold. So stacking layers does
        not lead far: one must reduce the size, dilate, or use attention.

        ## What goes wrong, and how one sees it

        - **A large object, painted in parts**: a short effective field. More levels, or ASPP.
        - **Borders like stairs**: a large output stride. Skips, or a decoder.
        - **A grid in the mask**: equal dilations; use 1, 2, 4.
        - **Small objects vanish**: less than a pixel in the smallest map.

        | you need | family |
        |---|---|
        | areas, few images | U-Net |
        | street scenes, many classes | DeepLab, Mask2Former |
        | to count objects | Mask R-CNN, Mask2Former |
        | to cut out by a click, without classes | SAM |
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Qué campo receptivo tienen cinco convoluciones de 3 × 3 con zancada 2? ¿Y cinco con zancada 1?
    """,
        en="""
        ## Exercises

        **1.** What is the receptive field of five 3 × 3 convolutions with stride 2? And of five with stride 1?
    """,
    )
    return


@app.cell(hide_code=True)
def _(receptive_field, t):
    _two, _one = receptive_field([3] * 5, [2] * 5, [1] * 5), receptive_field([3] * 5, [1] * 5, [1] * 5)
    t.solution(
        es=f"Con zancada 2: 1 + 2·(1 + 2 + 4 + 8 + 16) = {_two}. Con zancada 1: 1 + 5·2 = {_one}.",
        en=f"With stride 2: 1 + 2·(1 + 2 + 4 + 8 + 16) = {_two}. With stride 1: 1 + 5·2 = {_one}.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Debes contar células que se tocan, con 30 imágenes anotadas. ¿Qué eliges?
    """,
        en="""
        **2.** You have to count cells that touch, with 30 annotated images. What do you choose?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Contar pide instancias. Con 30 imágenes, una U-Net que además predice el *borde* entre células (o la
        distancia a él) y separa después suele ganarle a una *Mask R-CNN* entrenada desde cero; con pesos
        preentrenados, prueba también la segunda o SAM con puntos.
    """,
        en="""
        To count asks for instances. With 30 images, a U-Net that also predicts the *border* between cells (or the
        distance to it) and separates them afterwards usually beats a Mask R-CNN from scratch; with pretrained
        weights try that one too, or SAM with points.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
