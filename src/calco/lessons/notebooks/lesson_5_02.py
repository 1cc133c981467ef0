import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 5.2 · GAN condicional, U-Net y PatchGAN · Conditional GAN, U-Net and PatchGAN",
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
        "5.2",
        es="""
        Cuando hay varias respuestas buenas, el promedio de ellas suele ser mala. Mueve λ: con mucho L1 la red
        contesta «el medio»; con menos, el discriminador la obliga a decidirse.
    """,
        en="""
        Where there are several good answers, their mean is often a bad one. Move λ: with much L1 the network
        answers "the middle"; with less, the discriminator forces it to decide.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    lam = t.slider(0, 10, step=0.25, value=1, es="λ", en="λ")
    share = t.slider(0.1, 0.9, step=0.05, value=0.6, es="parte de los objetivos claros", en="share of light targets")
    width = t.slider(0.05, 0.6, step=0.05, value=0.25, es="ancho de cada moda", en="width of each mode")
    kit.mo.hstack([lam, share, width], justify="start", wrap=True)
    return lam, share, width


@app.cell
def _(kit, lam, share, t, width):
    import numpy as np

    y = np.linspace(-1, 1, 401)

    def losses(y, share, width):
        """For one pixel whose target is light (0.7) or dark (-0.7): what L1, L2 and the best discriminator ask for y."""
        targets = np.array([0.7, -0.7])
        odds = np.array([share, 1 - share])
        p_data = (odds * np.exp(-(((y[:, None] - targets) / width) ** 2) / 2)).sum(1) / (width * np.sqrt(2 * np.pi))
        p_g = 0.5  # a generator that still answers anything in [-1, 1]
        adversarial = -np.log(p_data / (p_data + p_g) + 1e-9)
        l1 = (odds * np.abs(y[:, None] - targets)).sum(1)
        l2 = (odds * (y[:, None] - targets) ** 2).sum(1)
        return adversarial, l1, l2

    adversarial, l1, l2 = losses(y, share.value, width.value)
    total = adversarial + lam.value * l1
    answers = {"GAN + λ L1": y[total.argmin()], "L1": y[l1.argmin()], "L2": y[l2.argmin()]}
    _figure, _axes = kit.plot(6.4, 3.2)
    _axes.plot(y, adversarial, "--", label="−ln D*(x, y)")
    _axes.plot(y, lam.value * l1, ":", label="λ L1")
    _axes.plot(y, total, "k", label="−ln D* + λ L1")
    _axes.plot(answers["GAN + λ L1"], total.min(), "ko")
    _axes.set(
        xlabel=t.pick("respuesta y (−1 negro, 1 blanco)", "answer y (−1 black, 1 white)"),
        ylim=(0, min(20, float(total.max()))),
    )
    _axes.legend()
    t.image(
        _figure,
        es="Mejor respuesta: " + "; ".join(f"{name} {value:.2f}" for name, value in answers.items()),
        en="Best answer: " + "; ".join(f"{name} {value:.2f}" for name, value in answers.items()),
        width=600,
    )
    return losses, np, y


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Un **GAN condicional** muestra la entrada $x$ a las dos redes. $D$ no pregunta «¿es una imagen real?», sino
        «¿es real *como respuesta a* $x$?»:

        $$\mathcal{L}_{\text{cGAN}}(G, D) = \mathbb{E}_{x,y}[\ln D(x, y)] + \mathbb{E}_{x}[\ln(1 - D(x, G(x)))]$$

        pix2pix (Isola y otros, 2017) le suma la distancia al objetivo:

        $$G^* = \arg\min_G \max_D\ \mathcal{L}_{\text{cGAN}}(G, D) + \lambda\, \mathbb{E}\,\|y - G(x)\|_1, \qquad \lambda = 100$$

        L1 lleva a la **mediana** de los objetivos posibles y L2 a la **media**. Con dos modas, la media cae entre
        ambas: un gris que no está en ningún objetivo. La mediana elige un lado solo si una moda pesa más de la
        mitad; y en una imagen cada píxel elige por su cuenta. Eso se ve así: un dibujo cuyo lugar no se conoce
        bien.
    """,
        en=r"""
        ## The idea

        A **conditional GAN** shows the input $x$ to both networks. $D$ does not ask "is it a real image?", but "is
        it real *as an answer to* $x$?":

        $$\mathcal{L}_{\text{cGAN}}(G, D) = \mathbb{E}_{x,y}[\ln D(x, y)] + \mathbb{E}_{x}[\ln(1 - D(x, G(x)))]$$

        pix2pix (Isola and others, 2017) adds the distance to the target:

        $$G^* = \arg\min_G \max_D\ \mathcal{L}_{\text{cGAN}}(G, D) + \lambda\, \mathbb{E}\,\|y - G(x)\|_1, \qquad \lambda = 100$$

        L1 leads to the **median** of the possible targets, L2 to their **mean**. With two modes the mean lies
        between them: a grey that no target has. The median takes a side only if a mode weighs more than a half; and
        in an image each pixel chooses by itself. This is how it looks: a drawing whose place is not well known.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La mediana y la media, con su cuenta

        Sea $F$ la distribución del objetivo de un píxel. La mejor respuesta $c$ para L2 anula la derivada de
        $\mathbb{E}(y - c)^2$:

        $$-2\,\mathbb{E}(y - c) = 0 \quad\Rightarrow\quad c = \mathbb{E}\,y$$

        Para L1, la derivada de $\mathbb{E}|y - c|$ es la probabilidad de quedar debajo menos la de quedar encima:

        $$P(y < c) - P(y > c) = 0 \quad\Rightarrow\quad P(y < c) = \tfrac12$$

        es decir, la mediana. Otra forma de decirlo: L2 supone un error gaussiano, $-\ln p = (y - c)^2/2\sigma^2$, y
        L1 uno de Laplace, $|y - c|/b$. Ambas suponen **una** respuesta buena con ruido alrededor. Si hay dos, el
        modelo está equivocado desde antes de entrenar, y ni más datos ni más capas lo arreglan: el borrón es la
        respuesta *óptima*.
        """,
        en=r"""
        ## The median and the mean, worked out

        Let $F$ be the distribution of a pixel's target. The best answer $c$ for L2 makes the derivative of
        $\mathbb{E}(y - c)^2$ vanish:

        $$-2\,\mathbb{E}(y - c) = 0 \quad\Rightarrow\quad c = \mathbb{E}\,y$$

        For L1 the derivative of $\mathbb{E}|y - c|$ is the probability to lie below minus that to lie above:

        $$P(y < c) - P(y > c) = 0 \quad\Rightarrow\quad P(y < c) = \tfrac12$$

        that is, the median. In other words: L2 assumes a Gaussian error, $-\ln p = (y - c)^2/2\sigma^2$, and L1 one
        of Laplace, $|y - c|/b$. Both assume **one** good answer with noise around it. If there are two, the model
        is wrong before any training, and neither more data nor more layers mend it: the blur is the *optimal*
        answer.
        """,
    )
    return


@app.cell
def _(t):
    unsure = t.slider(0, 24, value=10, es="no se sabe el lugar en ±píxeles", en="place unknown by ±pixels")
    unsure
    return (unsure,)


@app.cell
def _(np, t, unsure):
    from calco.data.sources.openmoji import draw, drawings_folder

    drawing = draw((drawings_folder() / "1F431.svg").read_text(encoding="utf-8"), 144)
    rng = np.random.default_rng(0)
    _shifts = rng.integers(-unsure.value, unsure.value + 1, (41, 2))
    possible = np.stack([np.roll(drawing, tuple(shift), (0, 1)) for shift in _shifts])
    t.images(
        (possible[0], "una respuesta posible (OpenMoji, CC BY-SA 4.0)", "a possible answer (OpenMoji, CC BY-SA 4.0)"),
        (np.median(possible, 0).astype(np.uint8), "la mejor para L1", "the best for L1"),
        (possible.mean(0).astype(np.uint8), "la mejor para L2", "the best for L2"),
        width=220,
    )
    return (drawing,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        $D$ reconoce al instante las dos últimas: nadie ha visto un gato así. Por eso la parte antagónica quita el
        borrón, a costa de inventar un lugar.

        ## PatchGAN

        No hace falta que $D$ mire la imagen entera: L1 ya cuida las formas grandes. El **PatchGAN** da un logit por
        parche. Su campo receptivo sale de la fórmula de 3.3, con filtros de 4 × 4. Elige cuántas convoluciones
        tienen zancada 2:
    """,
        en="""
        $D$ recognises the last two at once: nobody has seen such a cat. So the adversarial part removes the blur,
        at the cost of inventing a place.

        ## PatchGAN

        $D$ need not look at the whole image: L1 takes care of the large forms already. The **PatchGAN** gives one
        logit for each patch. Its receptive field follows from the formula of 3.3, with filters of 4 × 4. Choose how
        many convolutions have stride 2:
    """,
    )
    return


@app.cell
def _(t):
    strided = t.slider(1, 5, value=3, es="convoluciones de zancada 2", en="convolutions of stride 2")
    strided
    return (strided,)


@app.cell
def _(strided, t):
    import torch

    from calco.networks.discriminators import PATCH_LAYERS, PatchGAN

    def receptive_field(strides, kernel=4):
        size, step = 1, 1
        for stride in strides:
            size += (kernel - 1) * step
            step *= stride
        return size

    strides = [2] * strided.value + [1, 1]
    patch = receptive_field(strides)
    judge = PatchGAN(patch=patch, filters=8)
    with torch.no_grad():
        logits = judge(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))[0][-1]
    t(
        es=f"Zancadas {strides}: **{patch} píxeles**, {logits.shape[2]} × {logits.shape[3]} logits en 256 × 256. La biblioteca conoce {sorted(PATCH_LAYERS)}.",
        en=f"Strides {strides}: **{patch} pixels**, {logits.shape[2]} × {logits.shape[3]} logits at 256 × 256. The library knows {sorted(PATCH_LAYERS)}.",
    )
    return PatchGAN, torch


@app.cell(hide_code=True)
def _(t):
    t.source("calco.networks.discriminators:PatchGAN")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        La cuenta de los 70 píxeles, de atrás hacia adelante. Un logit depende de un píxel de la última salida; cada
        capa de filtro $k$ y zancada $s$ convierte $r$ píxeles de su salida en $s(r - 1) + k$ de su entrada:

        $$1 \to 4 \to 7 \to 16 \to 34 \to 70$$

        Y como el PatchGAN son solo convoluciones, se puede medir sin fórmula: el gradiente de un logit dice de qué
        píxeles depende. Los parámetros de los cuatro tamaños del artículo se cuentan con la misma clase de la
        biblioteca:
        """,
        en=r"""
        The sum for the 70 pixels, from back to front. One logit depends on one pixel of the last output; each layer
        of filter $k$ and stride $s$ turns $r$ pixels of its output into $s(r - 1) + k$ of its input:

        $$1 \to 4 \to 7 \to 16 \to 34 \to 70$$

        And since a PatchGAN is nothing but convolutions, it can be measured without a formula: the gradient of a
        logit tells on which pixels it depends. The parameters of the paper's four sizes are counted with the
        library's own class:
        """,
    )
    return


@app.cell
def _(PatchGAN, t, torch):
    def backwards(strides, kernel=4):
        """Sizes from one logit back to the image."""
        sizes = [1]
        for stride in reversed(strides):
            sizes.append(stride * (sizes[-1] - 1) + kernel)
        return sizes

    def patch_parameters(size):
        with torch.device("meta"):
            return sum(each.numel() for each in PatchGAN(patch=size).parameters())

    t.table(
        [
            {
                t.pick("parche", "patch"): size,
                t.pick("parámetros", "parameters"): f"{patch_parameters(size):,}",
                t.pick("de atrás hacia adelante", "from back to front"): " → ".join(map(str, backwards(each)))
                if each
                else "1",
            }
            for size, each in ((1, []), (16, [2, 1, 1]), (70, [2, 2, 2, 1, 1]), (286, [2, 2, 2, 2, 2, 1, 1]))
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Cuánto pesa λ = 100

        Parece que L1 aplasta al discriminador, pero mira los gradientes. La media de L1 sobre $N = 256 \cdot 256
        \cdot 3$ valores tiene derivada $\pm 1/N$ en cada uno: con $\lambda = 100$, $100/196\,608 = 0{,}0005$. La
        parte antagónica promedia $30 \cdot 30 = 900$ logits, cada uno con derivada de hasta $1/900 = 0{,}0011$
        *repartida* entre los 70 × 70 píxeles que mira; y cada píxel recibe de los muchos parches que lo cubren. Son
        del mismo orden. Con $\lambda = 1$ manda $D$, y aparecen objetos que no están en la entrada; con $\lambda =
        1000$ vuelve el borrón.
        """,
        en=r"""
        ## The weight of λ = 100

        L1 seems to crush the discriminator, but look at the gradients. The mean of L1 over $N = 256 \cdot 256 \cdot
        3$ values has the derivative $\pm 1/N$ at each: $100/196{,}608 = 0.0005$ for $\lambda = 100$. The
        adversarial part averages $30 \cdot 30 = 900$ logits, each with a derivative of up to $1/900 = 0.0011$,
        *spread* over the 70 × 70 pixels that it sees; and each pixel gets a share from the many patches that cover
        it. They are of one order. With $\lambda = 1$ $D$ rules, and objects appear that the input does not have;
        with $\lambda = 1000$ the blur comes back.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Un parche de 1 píxel solo cuida el color; uno de 286 mira todo y cuesta más parámetros. En el artículo, 70
        dio el mejor balance: 0,66 de exactitud por píxel en Cityscapes, contra 0,39 con 1 y 0,42 con 286.

        ## El azar: dropout

        pix2pix no recibe ruido: lo ignoraría. El azar viene del dropout, que apaga valores del decodificador con
        probabilidad $p$. Mide cuánto cambia la salida entre dos pasadas de la misma U-Net (sin entrenar):
    """,
        en="""
        A patch of 1 pixel takes care of colour only; one of 286 sees all, and costs more parameters. In the paper
        70 gave the best balance: 0.66 per-pixel accuracy on Cityscapes, against 0.39 with 1 and 0.42 with 286.

        ## Randomness: dropout

        pix2pix gets no noise: it would ignore it. Randomness comes from dropout, which sets values of the decoder
        to zero with probability $p$. Measure how much the output changes between two passes of one U-Net
        (untrained):
    """,
    )
    return


@app.cell
def _(t):
    p = t.slider(0, 0.9, step=0.1, value=0.5, es="probabilidad de dropout", en="probability of dropout")
    p
    return (p,)


@app.cell
def _(drawing, p, t, torch):
    from calco.networks.unet import UNet

    torch.manual_seed(0)
    net = UNet(depth=6, filters=16, norm="instance", dropout=p.value, convention="paper").train()
    x = torch.from_numpy(drawing[8:136, 8:136]).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        runs = torch.stack([net(x)[0] for _ in range(8)])
    noise = runs.std(0).mean(0)
    relative = float(noise.mean() / runs.mean(0).std())
    t.image(
        (noise / max(float(noise.max()), 1e-6)).numpy(),
        es=f"Dónde cambia la salida entre 8 pasadas; desviación relativa {relative:.2f}",
        en=f"Where the output changes between 8 passes; relative deviation {relative:.2f}",
        width=256,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La U-Net de pix2pix, y dos trampas

        Baja ocho veces a la mitad, de 256 × 256 a 1 × 1: $64, 128, 256, 512, 512, 512, 512, 512$ canales, y 54 413
        955 parámetros. En cada nivel de la subida recibe por el salto el mapa de la bajada: para colorear o
        reparar, los contornos de la salida *son* los de la entrada y no tienen que pasar por el fondo.

        - **La normalización por lotes en el fondo.** Con un lote de una imagen y un mapa de 1 × 1, cada canal tiene
          un solo valor: la media es ese valor, y la salida $(x - \bar x)/\sqrt{\sigma^2 + \epsilon}$ es 0 siempre.
          El fondo no transmite nada. El artículo y PyTorch no la ponen ahí; el tutorial de TensorFlow, del que
          parten muchas tesis, sí.
        - **El modo de prueba.** El pix2pix original deja encendidos el dropout y las estadísticas del lote al
          traducir: la misma imagen da dos resultados, y en un lote cada imagen depende de sus vecinas. Es la queja
          más frecuente de sus usuarios.
        """,
        en=r"""
        ## pix2pix's U-Net, and two traps

        It halves the size eight times, from 256 × 256 to 1 × 1: $64, 128, 256, 512, 512, 512, 512, 512$ channels
        and 54,413,955 parameters. On the way up it gets, at each level, the map of the way down through the skip:
        for colouring or repair the outlines of the output *are* those of the input, and need not pass through the
        bottom.

        - **Batch normalisation at the bottom.** With a batch of one image and a map of 1 × 1 each channel has a
          single value: the mean is that value, and the output $(x - \bar x)/\sqrt{\sigma^2 + \epsilon}$ is
          always 0. The bottom carries nothing. The paper and PyTorch do not put it there; the TensorFlow tutorial, from
          which many theses start, does.
        - **The mode of the test.** The original pix2pix leaves dropout and batch statistics on while it translates:
          one image gives two results, and in a batch each depends on its neighbours. It is the most frequent
          complaint of its users.
        """,
    )
    return


@app.cell
def _(t, torch):
    with torch.no_grad():
        single = torch.randn(1, 4, 1, 1) * 50
        normalised = (single - single.mean((0, 2, 3), keepdim=True)) / (
            single.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
    t.table(
        [
            {t.pick("canal", "channel"): i, t.pick("entra", "in"): float(a), t.pick("sale", "out"): float(b)}
            for i, (a, b) in enumerate(zip(single.flatten(), normalised.flatten(), strict=True))
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Un traductor entrenado de Calco apaga el dropout: la misma entrada da siempre la misma imagen. Quien quiere
        variedad la pide: `translator(image)` con `noise_seed=7`.
        """,
        en="""
        A trained translator of Calco switches dropout off: one input always gives one image. Who wants variety asks
        for it: `translator(image)` with `noise_seed=7`.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Desde qué λ la respuesta se va al lado de la moda mayor con cualquier ancho? Prueba con 0,6 y luego
        con 0,5.
        """,
        en="""
        ## Exercises

        **1.** From which λ does the answer take the side of the greater mode for any width? Try 0.6 and then 0.5.
        """,
    )
    return


@app.cell(hide_code=True)
def _(losses, t, y):
    _found = {}
    for _share in (0.6, 0.5):
        _a, _l, _ = losses(y, _share, 0.25)
        _found[_share] = [round(float(y[(_a + v * _l).argmin()]), 2) for v in (0, 1, 10)]
    t.solution(
        es=f"Con 0,6 y λ = 0, 1, 10 responde {_found[0.6]}: la parte antagónica sola ya prefiere la moda mayor y L1 no se opone. Con 0,5 da {_found[0.5]}: L1 es plana entre las dos modas y no decide; el discriminador la obliga a ir a una.",
        en=f"With 0.6 and λ = 0, 1, 10 it answers {_found[0.6]}: the adversarial part alone prefers the greater mode already, and L1 agrees. With 0.5 it gives {_found[0.5]}: L1 is flat between the modes and does not decide; the discriminator makes it go to one.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Calcula a mano el campo receptivo de zancadas 2, 2, 2, 1, 1 con filtros de 4.
    """,
        en="""
        **2.** Compute by hand the receptive field of strides 2, 2, 2, 1, 1 with filters of 4.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $1 + 3(1 + 2 + 4 + 8 + 8) = 1 + 3 \cdot 23 = 70$.
    """,
        en=r"""
        $1 + 3(1 + 2 + 4 + 8 + 8) = 1 + 3 \cdot 23 = 70$.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
