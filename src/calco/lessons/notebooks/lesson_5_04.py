import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 5.4 · Reparar huecos · Repairing holes")


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
        "5.4",
        es="""
        Un hueco, tres reparaciones: dos fórmulas de hace más de veinte años y una red entrenada en segundos. Mueve
        el tamaño del hueco y mira desde cuándo copiar el borde ya no alcanza.
    """,
        en="""
        A hole, three repairs: two formulas of more than twenty years ago, and a network trained in seconds. Move
        the size of the hole, and see from where copying the border no longer suffices.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    size = t.slider(2, 32, step=2, value=14, es="lado del hueco, píxeles", en="side of the hole, pixels")
    left = t.slider(0, 63, value=24, es="x", en="x")
    top = t.slider(0, 63, value=24, es="y", en="y")
    number = t.slider(0, 8, value=2, es="escena", en="scene")
    kit.mo.hstack([size, left, top, number], justify="start", wrap=True)
    return left, number, size, top


@app.cell
def _():
    import cv2
    import numpy as np

    import calco
    from calco.data.recipe_config import EraseConfig, RecipeConfig
    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes, short_config, trained

    erase = EraseConfig(holes="boxes", boxes=(1, 3), box_size=(0.15, 0.3))
    network = trained(
        "holes", short_config(RecipeConfig(recipe="erase", erase=erase), str(scenes() / "images" / "train"), steps=300)
    )
    tests = segmenting.labelled("test", 64).images

    def repairs(image, hole):
        """Three ways to fill `hole` (HW bool); none of them sees what stood there."""
        empty = image.copy()
        empty[hole] = (255, 0, 255)
        mask = hole.astype(np.uint8)
        known = image.copy()
        known[hole] = 0
        return empty, {
            "Telea": cv2.inpaint(known, mask, 3, cv2.INPAINT_TELEA),
            "Navier-Stokes": cv2.inpaint(known, mask, 3, cv2.INPAINT_NS),
            "network": network(empty),
        }

    return calco, cv2, np, repairs, tests


@app.cell
def _(calco, left, np, number, repairs, size, t, tests, top):
    hole = np.zeros((64, 64), bool)
    hole[top.value : top.value + size.value, left.value : left.value + size.value] = True
    original = tests[number.value]
    empty, filled = repairs(original, hole)
    scores = {name: calco.psnr_inside(image, original, hole) for name, image in filled.items()}
    t.images(
        (original, "original (OpenMoji, CC BY-SA 4.0)", "original (OpenMoji, CC BY-SA 4.0)"),
        (empty, "con hueco", "with a hole"),
        *(
            (image, f"{name.replace('network', 'red')}: {scores[name]:.1f} dB", f"{name}: {scores[name]:.1f} dB")
            for name, image in filled.items()
        ),
        width=160,
    )
    return filled, hole, original


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Rellenar es extender lo conocido hacia adentro.

        - **Telea** (2004) avanza desde el borde como una ola. Cada píxel nuevo es un promedio ponderado de sus vecinos
          conocidos, más su gradiente: $\hat I(p) = \frac{\sum_q w(p,q)\,[I(q) + \nabla I(q)\cdot(p - q)]}{\sum_q
          w(p,q)}$. Pesan más los cercanos y los que siguen la dirección de la normal.
        - **Navier-Stokes** (Bertalmio y otros, 2001) trata la luminosidad como un fluido: las líneas de igual tono
          entran en el hueco sin quebrarse y el laplaciano se transporta por ellas.
        - **Una red** aprendió de otras imágenes qué suele haber: puede poner un ojo donde no queda ninguno. Ninguna
          fórmula puede.

        Las tres dejan intacto lo conocido: la salida es $\hat y = m \odot G(x) + (1 - m) \odot x$, con $m = 1$ en
        el hueco. En Calco eso es la composición `filled`.

        ## Medir dentro

        El error fuera del hueco es cero. Si el hueco cubre una parte $f$ de la imagen, el PSNR de toda la imagen
        suma $-10\log_{10} f$ decibelios que nadie ganó: con 5 %, 13 dB. Por eso se mide **dentro**:

        $$\text{PSNR}_{\text{dentro}} = -10 \log_{10}\Big(\frac{1}{3|M|} \sum_{p \in M} \|\hat y(p) - y(p)\|^2\Big)$$
    """,
        en=r"""
        ## The idea

        To fill is to extend what is known inwards.

        - **Telea** (2004) advances from the border like a wave. Each new pixel is a weighted mean of its known
          neighbours and their gradients: $\hat I(p) = \frac{\sum_q w(p,q)\,[I(q) + \nabla I(q)\cdot(p - q)]}{\sum_q
          w(p,q)}$. Near ones count more, and those along the normal.
        - **Navier-Stokes** (Bertalmio and others, 2001) treats lightness as a fluid: lines of equal tone enter the
          hole without a bend, and the Laplacian is carried along them.
        - **A network** has learned from other images what is usually there: it can put an eye where none is left.
          No formula can.

        All three leave what is known as it is: the output is $\hat y = m \odot G(x) + (1 - m) \odot x$, with $m =
        1$ in the hole. In Calco this is the composition `filled`.

        ## Measuring inside

        The error outside the hole is zero. If the hole covers a share $f$ of the image, the PSNR of the whole image
        adds $-10\log_{10} f$ decibels that nobody has earned: 13 dB at 5%. So one measures **inside**:

        $$\text{PSNR}_{\text{inside}} = -10 \log_{10}\Big(\frac{1}{3|M|} \sum_{p \in M} \|\hat y(p) - y(p)\|^2\Big)$$
    """,
    )
    return


@app.cell
def _(calco, filled, hole, np, original, t):
    def my_psnr_inside(output, target, hole):
        difference = (output.astype(float) - target.astype(float))[hole] / 255
        return -10 * np.log10((difference**2).mean())

    whole = calco.psnr(filled["Telea"], original)
    t.table(
        [
            {"": "Telea, " + t.pick("dentro", "inside"), "dB": float(my_psnr_inside(filled["Telea"], original, hole))},
            {"": "Telea, " + t.pick("toda la imagen", "whole image"), "dB": float(whole)},
            {"": t.pick("diferencia", "difference") + " (−10 log₁₀ f)", "dB": float(-10 * np.log10(hole.mean()))},
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Por qué una convolución común se ensucia, y la parcial no

        Una convolución suma a todos sus vecinos, también a los del hueco, que no son datos: cerca del borde mezcla
        el relleno con la imagen. La **convolución parcial** (Liu y otros, 2018) suma solo los conocidos y corrige
        por cuántos faltan. Con la máscara $M$ (1 = conocido), en una ventana de $k^2$ lugares,

        $$x' = \begin{cases} \mathbf{w}^\top (\mathbf{x} \odot \mathbf{m})\, \dfrac{k^2}{\sum \mathbf{m}} + b & \text{si } \sum \mathbf{m} > 0 \\ 0 & \text{si no} \end{cases} \qquad m' = [\textstyle\sum \mathbf{m} > 0]$$

        El factor es el de una media con datos faltantes: si solo se ven 3 de 9, se multiplica por 3. Cada capa de 3
        × 3 achica el hueco un píxel por lado, así que un hueco de lado $n$ se cierra en $\lceil n/2 \rceil$ capas.
        Mira las dos con un filtro que solo promedia:
        """,
        en=r"""
        ## Why a plain convolution gets dirty, and a partial one does not

        A convolution adds up all its neighbours, those in the hole too, which are no data: near the border it mixes
        the fill with the image. The **partial convolution** (Liu and others, 2018) adds the known ones only, and
        corrects for how many are missing. With the mask $M$ (1 = known), in a window of $k^2$ places,

        $$x' = \begin{cases} \mathbf{w}^\top (\mathbf{x} \odot \mathbf{m})\, \dfrac{k^2}{\sum \mathbf{m}} + b & \text{if } \sum \mathbf{m} > 0 \\ 0 & \text{otherwise} \end{cases} \qquad m' = [\textstyle\sum \mathbf{m} > 0]$$

        The factor is that of a mean with missing data: if 3 of 9 are seen, multiply by 3. Each layer of 3 × 3
        shrinks the hole by a pixel on each side, so a hole of side $n$ closes in $\lceil n/2 \rceil$ layers. Look
        at both, with a filter that only averages:
        """,
    )
    return


@app.cell
def _(t):
    passes = t.slider(1, 16, value=4, es="capas de 3 × 3", en="layers of 3 × 3")
    passes
    return (passes,)


@app.cell
def _(cv2, hole, np, original, passes, t):
    def sums(plane):
        return cv2.boxFilter(plane.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)

    plain = np.where(hole[..., None], 0, original).astype(np.float32)
    partial, known_now = plain.copy(), (~hole).astype(np.float32)
    for _ in range(passes.value):
        plain = np.where(hole[..., None], sums(plain) / 9, original)
        counts = sums(known_now)
        filled_now = sums(partial * known_now[..., None]) / np.maximum(counts, 1)[..., None]
        fresh = (known_now == 0) & (counts > 0)
        partial[fresh], known_now[fresh] = filled_now[fresh], 1
    t.images(
        (np.uint8(plain), "común: el negro del hueco se filtra", "plain: the black of the hole seeps in"),
        (np.uint8(partial), "parcial: avanza desde lo conocido", "partial: it advances from what is known"),
        (
            known_now,
            f"lo que falta: {int((known_now == 0).sum())} píxeles",
            f"still missing: {int((known_now == 0).sum())} pixels",
        ),
        width=200,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        La **convolución con compuerta** (Yu y otros, 2019) deja que la red *aprenda* la máscara: dos convoluciones
        en paralelo, una para el valor y otra para cuánto creerle, $x' = \phi(W_v * x) \odot \sigma(W_g * x)$.
        Cuesta el doble de pesos y sirve también para bocetos, donde «conocido» no es sí o no. En los modelos de
        Calco la red recibe el hueco marcado y una U-Net de campo amplio; la composición final hace que lo conocido
        no cambie ni en un píxel.

        ## La pérdida y el campo receptivo

        Si el hueco es el 5 % de la imagen, el 95 % de una L1 media se gasta en aprender a copiar, que la
        composición ya hace. Por eso el interior pesa más: con peso $w$ dentro, la parte del hueco en la pérdida
        es $\frac{w f}{w f + 1 - f}$; con $f = 0{,}05$ y $w = 10$ sube de 5 % a 34 %.

        Y el centro de un hueco de lado $n$ solo ve algo conocido si el campo receptivo pasa de $n$. Cuando una red
        rellena bien la orilla y deja una mancha gris en el medio, casi siempre es eso: más niveles o dilatación, no
        más pasos.
        """,
        en=r"""
        The **gated convolution** (Yu and others, 2019) lets the network *learn* the mask: two convolutions side by
        side, one for the value and one for how far to believe it, $x' = \phi(W_v * x) \odot \sigma(W_g * x)$. It
        costs twice the weights, and serves for sketches too, where "known" is not yes or no. In Calco's models the
        network gets the marked hole and a U-Net of wide field; the last composition sees to it that what is known
        does not change by a pixel.

        ## The loss and the receptive field

        If the hole is 5% of the image, 95% of a mean L1 is spent on learning to copy, which the composition does
        already. So the inside is given more weight: with a weight $w$ inside, the hole's share of the loss is
        $\frac{w f}{w f + 1 - f}$; with $f = 0.05$ and $w = 10$ it rises from 5% to 34%.

        And the middle of a hole of side $n$ sees something known only if the receptive field exceeds $n$. Where a
        network fills the rim well and leaves a grey patch in the middle, it is nearly always this: more levels or
        dilation, not more steps.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        Un ejemplo no decide. Estas curvas promedian todas las escenas de prueba, con huecos en el centro de lados
        crecientes:
    """,
        en="""
        ## What it shows

        One example decides nothing. These curves average all scenes of the test, with holes of growing sides in the
        middle:
    """,
    )
    return


@app.cell
def _(calco, filled, kit, np, repairs, t, tests):
    sides = [4, 8, 12, 16, 20, 24, 28]
    curves = {name: [] for name in filled}
    for _side in sides:
        _hole = np.zeros((64, 64), bool)
        _from = 32 - _side // 2
        _hole[_from : _from + _side, _from : _from + _side] = True
        _all = [{n: calco.psnr_inside(v, each, _hole) for n, v in repairs(each, _hole)[1].items()} for each in tests]
        for _name, _values in curves.items():
            _values.append(float(np.mean([row[_name] for row in _all])))
    _figure, _axes = kit.plot()
    for _name, _values in curves.items():
        _axes.plot(sides, _values, "o-", label=_name.replace("network", t.pick("red", "network")))
    _axes.set(
        xlabel=t.pick("lado del hueco, píxeles", "side of the hole, pixels"),
        ylabel=t.pick("PSNR dentro, dB", "PSNR inside, dB"),
    )
    _axes.legend()
    t.image(
        _figure,
        es=f"Promedio de {len(tests)} escenas que nadie vio en el entrenamiento",
        en=f"Mean of {len(tests)} scenes that were not in the training",
        width=520,
    )
    return curves, sides


@app.cell(hide_code=True)
def _(curves, sides, t):
    _wins = [
        side
        for side, n, a, b in zip(sides, curves["network"], curves["Telea"], curves["Navier-Stokes"], strict=True)
        if n > max(a, b)
    ]
    _sides = ", ".join(map(str, _wins)) or "—"
    t(
        es=f"""
        La red gana en los lados: **{_sides}**. Fueron trescientos pasos con 119 escenas. En un hueco diminuto
        sobre un fondo liso, extender el borde es casi perfecto y cuesta poco ganarle a una red. Calco siempre
        muestra estas dos líneas base junto al modelo, y un modelo que no les gana no vale su costo.

        Para elegir los huecos del entrenamiento, que se parezcan a los de uso: rayas si repararás rayas. La receta
        `erase` los hace de cinco clases.
        """,
        en=f"""
        The network wins at the sides: **{_sides}**. It had three hundred steps on 119 scenes. In a tiny hole
        on an even ground, to extend the border is nearly perfect, and easily beats a network. Calco always shows
        these two baselines beside the model, and a model that does not beat them is not worth its cost.

        Choose the holes of the training as they are in use: scratches if you will repair scratches. The recipe
        `erase` makes five kinds.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Un hueco cubre el 1 % de la imagen y el PSNR de toda la imagen es 40 dB. ¿Cuánto es dentro?
        """,
        en="""
        ## Exercises

        **1.** A hole covers 1% of the image, and the PSNR of the whole image is 40 dB. What is it inside?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $40 + 10 \log_{10} 0{,}01 = 20$ dB.
    """,
        en=r"""
        $40 + 10 \log_{10} 0.01 = 20$ dB.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** ¿Por qué conviene marcar el hueco con magenta y no con negro?
    """,
        en="""
        **2.** Why is it better to mark the hole in magenta than in black?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        La red debe distinguir «aquí falta» de «aquí es negro». El magenta puro casi no aparece en fotos; el negro,
        mucho. La otra forma es un canal aparte (`--mask-channel`), que no reserva ningún color.
    """,
        en="""
        The network must tell "missing here" from "black here". Pure magenta hardly occurs in photographs; black
        often does. The other way is a channel of its own (`--mask-channel`), which reserves no colour.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
