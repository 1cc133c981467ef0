import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 5.3 · Colorear · Colouring")


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
        "5.3",
        es="""
        Una foto gris no dice si la manzana era roja o verde. Mueve la luz y los dos ejes de color: de tres números,
        la foto conserva uno. Colorear es adivinar los otros dos, y por eso las redes responden marrón.
    """,
        en="""
        A grey photograph does not say whether the apple was red or green. Move lightness and the two axes of
        colour: of three numbers, the photograph keeps one. To colour is to guess the other two, and this is why
        networks answer brown.
    """,
    )
    return (t,)


@app.cell
def _(kit):
    light = kit.mo.ui.slider(0, 100, value=60, label="L*", show_value=True)
    red_green = kit.mo.ui.slider(-90, 90, step=5, value=50, label="a*", show_value=True)
    yellow_blue = kit.mo.ui.slider(-90, 90, step=5, value=30, label="b*", show_value=True)
    kit.mo.hstack([light, red_green, yellow_blue], justify="start", wrap=True)
    return light, red_green, yellow_blue


@app.cell
def _(light, red_green, t, yellow_blue):
    import cv2
    import numpy as np

    def to_rgb(lab):
        return cv2.cvtColor(np.float32(lab), cv2.COLOR_Lab2RGB).clip(0, 1)

    def to_lab(image):
        return cv2.cvtColor(np.float32(image) / 255, cv2.COLOR_RGB2Lab)

    _b, _a = np.mgrid[90:-91:-4, -90:91:4]
    _plane = to_rgb(np.dstack([np.full(_a.shape, light.value), _a, _b]))
    chosen = to_rgb([[[light.value, red_green.value, yellow_blue.value]]])
    grey = to_rgb([[[light.value, 0, 0]]])
    t.images(
        (_plane, f"los colores con L* = {light.value}", f"the colours of L* = {light.value}"),
        (np.tile(chosen, (40, 40, 1)), "el elegido", "the chosen one"),
        (np.tile(grey, (40, 40, 1)), "lo que queda en gris", "what is left in grey"),
        width=200,
    )
    return np, to_lab, to_rgb


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## De RGB a Lab, paso a paso

        Los números de un archivo no son luz: sRGB los guarda con una curva, para gastar más valores en los tonos
        oscuros. Primero se deshace la curva, después una matriz da los tres estímulos $XYZ$ del ojo y, por último,
        una raíz cúbica imita cómo percibe: el doble de luz *no* se ve el doble de clara.

        $$L^* = 116\,f\!\left(\tfrac{Y}{Y_n}\right) - 16, \quad a^* = 500\left[f\!\left(\tfrac{X}{X_n}\right) - f\!\left(\tfrac{Y}{Y_n}\right)\right], \quad b^* = 200\left[f\!\left(\tfrac{Y}{Y_n}\right) - f\!\left(\tfrac{Z}{Z_n}\right)\right]$$

        con $f(u) = \sqrt[3]{u}$ (y una recta para $u < 0{,}0089$) y el blanco $(X_n, Y_n, Z_n)$ de la luz de día
        D65. Un gris tiene $X/X_n = Y/Y_n = Z/Z_n$: las restas se anulan y $a^* = b^* = 0$. Aquí, escrito entero y
        comparado con OpenCV:
        """,
        en=r"""
        ## From RGB to Lab, step by step

        The numbers in a file are not light: sRGB stores them on a curve, to spend more values on dark tones. First
        the curve is undone; then a matrix gives the three stimuli $XYZ$ of the eye; last, a cube root imitates how
        it perceives: twice the light is *not* seen as twice as bright.

        $$L^* = 116\,f\!\left(\tfrac{Y}{Y_n}\right) - 16, \quad a^* = 500\left[f\!\left(\tfrac{X}{X_n}\right) - f\!\left(\tfrac{Y}{Y_n}\right)\right], \quad b^* = 200\left[f\!\left(\tfrac{Y}{Y_n}\right) - f\!\left(\tfrac{Z}{Z_n}\right)\right]$$

        with $f(u) = \sqrt[3]{u}$ (and a straight line for $u < 0.0089$) and the white $(X_n, Y_n, Z_n)$ of daylight
        D65. A grey has $X/X_n = Y/Y_n = Z/Z_n$: the differences vanish, and $a^* = b^* = 0$. Here it is, written
        out and compared with OpenCV:
        """,
    )
    return


@app.cell
def _(np, t, to_lab):
    def my_lab(rgb):
        """One colour of sRGB, 0 to 255 => L*, a*, b*."""
        s = np.asarray(rgb) / 255
        linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4)
        to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        u = to_xyz @ linear / (to_xyz @ np.ones(3))
        f = np.where(u > 0.008856, np.cbrt(u), 7.787 * u + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    t.table(
        [
            {
                "RGB": str(rgb),
                t.pick("a mano", "by hand"): ", ".join(f"{each:.1f}" for each in my_lab(rgb)),
                "OpenCV": ", ".join(f"{each:.1f}" for each in to_lab(np.uint8([[rgb]]))[0, 0]),
            }
            for rgb in ((255, 0, 0), (0, 128, 0), (120, 120, 120), (255, 220, 60))
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        **CIE Lab** separa la luminosidad $L^*$ (0 a 100) del color: $a^*$ va de verde a rojo y $b^*$, de azul a
        amarillo. Sirve para colorear porque $L^*$ ya está en la entrada: la red predice solo $(a^*, b^*)$ y el
        detalle de la foto queda intacto. Las distancias en Lab se parecen a las que ve una persona; en RGB, no.

        ## Por qué L1 da marrón

        Si un mismo gris fue rojo con probabilidad $q$ y verde con $1 - q$, la respuesta que menos paga con L2 es el
        **promedio** $(q\,\mathbf{c}_1 + (1-q)\,\mathbf{c}_2)$, y con L1 la mediana de cada eje. El promedio de
        colores opuestos cae cerca de $a^* = b^* = 0$: gris, o el marrón de los tonos cálidos. Muévelo:
    """,
        en=r"""
        ## The idea

        **CIE Lab** separates lightness $L^*$ (0 to 100) from colour: $a^*$ goes from green to red, $b^*$ from blue
        to yellow. It suits colouring because $L^*$ is in the input already: the network predicts $(a^*, b^*)$ only,
        and the detail of the photograph stays as it is. Distances in Lab are similar to those that a person sees;
        in RGB they are not.

        ## Why L1 gives brown

        If one grey was red with probability $q$ and green with $1 - q$, the answer that pays least under L2 is the
        **mean** $(q\,\mathbf{c}_1 + (1-q)\,\mathbf{c}_2)$, and under L1 the median of each axis. The mean of
        opposite colours lies near $a^* = b^* = 0$: grey, or the brown of warm tones. Move it:
    """,
    )
    return


@app.cell
def _(t):
    reds = t.slider(0, 100, step=5, value=50, es="objetos rojos, %", en="red objects, %")
    reds
    return (reds,)


@app.cell
def _(np, reds, t, to_rgb):
    two = np.array([[55.0, 65.0, 45.0], [55.0, -50.0, 45.0]])
    _q = reds.value / 100
    mean = _q * two[0] + (1 - _q) * two[1]
    _grid = np.linspace(-60, 70, 261)
    median_a = float(_grid[(_q * abs(_grid - two[0, 1]) + (1 - _q) * abs(_grid - two[1, 1])).argmin()])
    patches = [
        np.tile(to_rgb(each[None, None]), (40, 40, 1)) for each in (two[0], two[1], mean, np.array([55, median_a, 45]))
    ]
    t.images(
        (patches[0], "objetivo 1", "target 1"),
        (patches[1], "objetivo 2", "target 2"),
        (patches[2], f"respuesta de L2, a* = {mean[1]:.0f}", f"answer of L2, a* = {mean[1]:.0f}"),
        (patches[3], f"respuesta de L1, a* = {median_a:.0f}", f"answer of L1, a* = {median_a:.0f}"),
        width=140,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Dos remedios:

        - **Reequilibrar las clases** (Zhang y otros, 2016): cortar el plano $ab$ en casillas, predecir una
          *distribución* y ponderar cada casilla con $w \propto \big((1-\lambda)\,p + \lambda/Q\big)^{-1}$, para que
          los colores raros cuenten. Con $Q$ casillas y $\lambda = 1/2$.
        - **Un término de colorido** (el de Calco): comparar el colorido $M$ de la salida y del objetivo. Hasler y
          Süsstrunk (2003) lo midieron con personas, con $rg = R - G$ y $yb = \tfrac12(R + G) - B$:

        $$M = \sqrt{\sigma_{rg}^2 + \sigma_{yb}^2} + 0{,}3\,\sqrt{\mu_{rg}^2 + \mu_{yb}^2}$$
    """,
        en=r"""
        Two remedies:

        - **Class rebalancing** (Zhang and others, 2016): cut the plane $ab$ into cells, predict a *distribution*,
          and weigh each cell by $w \propto \big((1-\lambda)\,p + \lambda/Q\big)^{-1}$, so that rare colours count.
          With $Q$ cells and $\lambda = 1/2$.
        - **A term of colourfulness** (Calco's): compare the colourfulness $M$ of output and target. Hasler and
          Süsstrunk (2003) measured it with people, with $rg = R - G$ and $yb = \tfrac12(R + G) - B$:

        $$M = \sqrt{\sigma_{rg}^2 + \sigma_{yb}^2} + 0.3\,\sqrt{\mu_{rg}^2 + \mu_{yb}^2}$$
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.training.objectives:colourfulness")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Pesar los colores raros

        ¿Cuánto pesa cada remedio? Cuenta los colores de nuestras escenas: corta el plano $ab$ en casillas de 10 ×
        10 y mira qué parte de los píxeles cae en cada una. Casi todo está cerca del gris. Con $\lambda = 0$ el peso
        es $1/p$ y una casilla con un solo píxel manda; con $\lambda = 1$ todos pesan igual y gana el gris. Después
        se dividen los pesos para que su promedio sobre los píxeles sea 1, y la tasa de aprendizaje no cambie de
        sentido.
        """,
        en=r"""
        ## Weighing rare colours

        How much do the weights do? Count the colours of our scenes: cut the plane $ab$ into cells of 10 × 10, and
        see which share of the pixels falls into each. Nearly all is close to grey. With $\lambda = 0$ the weight is
        $1/p$, and a cell with a single pixel rules; with $\lambda = 1$ all weigh alike, and grey wins. Then the
        weights are divided so that their mean over the pixels is 1, and the learning rate keeps its meaning.
        """,
    )
    return


@app.cell
def _(t):
    blend = t.slider(0, 1, step=0.05, value=0.5, es="λ del reequilibrio", en="λ of the rebalancing")
    blend
    return (blend,)


@app.cell
def _(blend, kit, np, t, to_lab):
    from calco.lessons import segmenting

    _colours = np.concatenate([to_lab(each)[..., 1:].reshape(-1, 2) for each in segmenting.labelled("val", 64).images])
    cells, _, _ = np.histogram2d(_colours[:, 1], _colours[:, 0], bins=np.arange(-100, 101, 10))
    p_cells = cells / cells.sum()
    weights = np.where(
        cells > 0, 1 / np.maximum((1 - blend.value) * p_cells + blend.value / (cells > 0).sum(), 1e-12), 0
    )
    weights /= (p_cells * weights).sum()
    _figure, _axes = kit.plot(7, 3, columns=2)
    for _axis, _plane, _title in (
        (_axes[0], np.log10(np.maximum(p_cells, 1e-6)), t.pick("log₁₀ de la frecuencia", "log₁₀ of the frequency")),
        (_axes[1], np.log10(np.maximum(weights, 1e-3)), t.pick("log₁₀ del peso", "log₁₀ of the weight")),
    ):
        _shown = _axis.imshow(_plane, origin="lower", extent=(-100, 100, -100, 100), cmap="magma")
        _axis.set(title=_title, xlabel="a*", ylabel="b*")
        _figure.colorbar(_shown, ax=_axis)
    t.image(
        _figure,
        es=f"La casilla más común tiene el {p_cells.max():.0%} de los píxeles y pesa {weights[cells > 0].min():.2f}; la más rara pesa {weights.max():.1f}",
        en=f"The most frequent cell has {p_cells.max():.0%} of the pixels and weighs {weights[cells > 0].min():.2f}; the rarest weighs {weights.max():.1f}",
        width=680,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## De una distribución a un color

        Si la red predice una distribución $q$ sobre casillas, aún hay que elegir *un* color. La media vuelve al
        marrón; la moda da colores vivos y manchas que saltan de una casilla a otra. Zhang y otros toman un punto
        intermedio, la **media recocida**: se elevan las probabilidades a $1/T$, se normalizan y se promedia. Con $T
        = 1$ es la media; con $T \to 0$, la moda; ellos usan $T = 0{,}38$. Por ejemplo, con 60 % de rojo ($a^* =
        65$) y 40 % de verde ($a^* = -50$):
        """,
        en=r"""
        ## From a distribution to a colour

        If the network predicts a distribution $q$ over cells, *one* colour must still be chosen. The mean leads
        back to brown; the mode gives vivid colours, and blotches that jump from cell to cell. Zhang and others take
        a point between, the **annealed mean**: probabilities are raised to $1/T$, normalised, and averaged. $T = 1$
        is the mean, $T \to 0$ the mode; they use $T = 0.38$. For example, with 60% red ($a^* = 65$) and 40% green
        ($a^* = -50$):
        """,
    )
    return


@app.cell
def _(t):
    t.table(
        [
            {"T": heat, t.pick("peso del rojo", "weight of red"): red, "a*": 65 * red - 50 * (1 - red)}
            for heat in (1.0, 0.38, 0.1)
            for red in [0.6 ** (1 / heat) / (0.6 ** (1 / heat) + 0.4 ** (1 / heat))]
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Un minuto de entrenamiento

        Coloreamos dibujos de OpenMoji con una U-Net pequeña, dos veces: sin el término de colorido y con él. Todo
        lo demás es igual.
    """,
        en="""
        ## A minute of training

        We colour drawings of OpenMoji with a small U-Net, twice: without the term of colourfulness, and with it.
        All else is equal.
    """,
    )
    return


@app.cell
def _():
    from dataclasses import replace

    import calco
    from calco.data.recipe_config import RecipeConfig
    from calco.lessons.scenes import short_config, trained

    plain = replace(
        short_config(RecipeConfig(recipe="colorize"), "openmoji", steps=250), source=calco.SourceConfig(limit=200)
    )
    colourful = replace(plain, objective=replace(plain.objective, colour_weight=15))
    models = {0: trained("colour-0", plain), 15: trained("colour-15", colourful)}
    return RecipeConfig, calco, models


@app.cell
def _(RecipeConfig, calco, models, np, t):
    import torch

    from calco.data.sources.openmoji import draw, drawings_folder
    from calco.training.objectives import colourfulness

    names = ("1F431", "1F697", "1F34E", "1F98A", "1F69A", "1F34B")
    originals = [draw((drawings_folder() / f"{name}.svg").read_text(encoding="utf-8"), 64) for name in names]
    greys = [
        calco.build_recipe(RecipeConfig(recipe="colorize"), "photographs")(
            calco.Sample(image=each, key="0", group="0"), np.random.default_rng(0)
        ).input
        for each in originals
    ]
    outputs = {weight: [model(each) for each in greys] for weight, model in models.items()}

    def measured(images):
        stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return float(colourfulness(stack).mean())

    sheet = np.vstack(
        [np.hstack([np.repeat(each, 3, 2) for each in greys])]
        + [np.hstack(outputs[weight]) for weight in models]
        + [np.hstack(originals)]
    )
    t.image(
        sheet,
        es="Entrada; sin el término; con el término (peso 15); original. Dibujos: OpenMoji, CC BY-SA 4.0",
        en="Input; without the term; with it (weight 15); original. Drawings: OpenMoji, CC BY-SA 4.0",
        width=560,
    )
    return measured, originals, outputs


@app.cell
def _(calco, measured, np, originals, outputs, t):
    t.table(
        [
            {
                "": name,
                t.pick("colorido M", "colourfulness M"): measured(images),
                "PSNR, dB": float(np.mean([calco.psnr(a, b) for a, b in zip(images, originals, strict=True)]))
                if images is not originals
                else "",
            }
            for name, images in (
                (t.pick("sin el término", "without the term"), outputs[0]),
                (t.pick("con el término", "with the term"), outputs[15]),
                (t.pick("original", "original"), originals),
            )
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Lee las dos columnas juntas. Un color vivo y equivocado pierde más PSNR que un gris prudente: la métrica
        premia al que no arriesga. Estos seis dibujos pueden estar entre los de entrenamiento; para comparar de
        verdad hace falta `calco.evaluate`, que usa imágenes apartadas.
        """,
        en="""
        Read the two columns together. A vivid colour that is wrong loses more PSNR than a cautious grey: the metric
        rewards who takes no risk. These six drawings may be among those of the training; for a real comparison one
        needs `calco.evaluate`, which takes images kept apart.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Por qué el PSNR de un resultado gris puede ser mejor que el de uno en color?
        """,
        en="""
        ## Exercises

        **1.** Why may the PSNR of a grey result be better than that of a coloured one?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        El PSNR mide el error cuadrático. Entre rojo y verde el gris queda a media distancia de ambos; un rojo donde
        era verde está al doble de distancia y paga cuatro veces más.
    """,
        en="""
        PSNR measures the squared error. Between red and green, grey is halfway from either; red in place of green
        is twice as far, and pays four times as much.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Convierte un dibujo a Lab, pon $a^* = b^* = 0$ y vuelve a RGB. ¿Cuánto vale su colorido?
    """,
        en="""
        **2.** Convert a drawing to Lab, set $a^* = b^* = 0$, and go back to RGB. What is its colourfulness?
    """,
    )
    return


@app.cell(hide_code=True)
def _(measured, np, originals, t, to_lab, to_rgb):
    _lab = to_lab(originals[0])
    _lab[..., 1:] = 0
    _value = measured([np.rint(to_rgb(_lab) * 255).astype(np.uint8)])
    t.solution(
        es=f"{_value:.2f} en vez de {measured([originals[0]]):.1f}: los tres canales son iguales, salvo por el redondeo.",
        en=f"{_value:.2f} instead of {measured([originals[0]]):.1f}: the three channels are equal, but for rounding.",
    )
    return


if __name__ == "__main__":
    app.run()
