import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 5.1 · Redes antagónicas y el juego minimax · Adversarial networks and the minimax game",
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
        "5.1",
        es="""
        Una red inventa números; otra adivina si son inventados. Mueve los datos y los pasos: en segundos, la
        primera aprende la forma de la campana sin que nadie le diga la fórmula.
    """,
        en="""
        One network invents numbers; another guesses whether they are invented. Move the data and the steps: within
        seconds the first one learns the shape of the bell, and nobody tells it the formula.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    centre = t.slider(-3, 3, step=0.5, value=2, es="media de los datos", en="mean of the data")
    spread = t.slider(0.3, 1.5, step=0.1, value=0.6, es="desviación", en="deviation")
    steps = t.slider(0, 800, step=50, value=400, es="pasos", en="steps")
    kit.mo.hstack([centre, spread, steps], justify="start", wrap=True)
    return centre, spread, steps


@app.cell
def _(centre, spread, steps):
    import math

    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional as F

    def play(mean, deviation, steps, seed=0):
        """A GAN of numbers: the generator is a line, the discriminator a small network."""
        torch.manual_seed(seed)
        generator = nn.Linear(1, 1)
        discriminator = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
        g_step = torch.optim.Adam(generator.parameters(), 0.02, betas=(0.5, 0.9))
        d_step = torch.optim.Adam(discriminator.parameters(), 0.01, betas=(0.5, 0.9))
        losses = []
        for _ in range(steps):
            real, fake = mean + deviation * torch.randn(128, 1), generator(torch.randn(128, 1))
            d_loss = (F.softplus(-discriminator(real)).mean() + F.softplus(discriminator(fake.detach())).mean()) / 2
            d_step.zero_grad()
            d_loss.backward()
            d_step.step()
            g_loss = F.softplus(-discriminator(fake)).mean()  # -log D(G(z))
            g_step.zero_grad()
            g_loss.backward()
            g_step.step()
            losses.append((d_loss.item(), g_loss.item()))
        return generator, discriminator, losses

    generator, discriminator, losses = play(centre.value, spread.value, steps.value)
    return discriminator, generator, losses, math, np, torch


@app.cell
def _(centre, discriminator, generator, kit, losses, math, np, spread, t, torch):
    def bell(x, mean, deviation):
        return np.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * math.sqrt(2 * math.pi))

    xs = np.linspace(-6, 6, 300)
    with torch.no_grad():
        learned = (float(generator.bias), abs(float(generator.weight)))
        guess = torch.sigmoid(discriminator(torch.tensor(xs, dtype=torch.float32)[:, None]))[:, 0].numpy()
    p_data, p_g = bell(xs, centre.value, spread.value), bell(xs, learned[0], max(learned[1], 0.02))
    best = p_data / (p_data + p_g + 1e-12)
    _figure, _axes = kit.plot(7.6, 3, columns=2)
    _axes[0].plot(xs, p_data, label="p_data")
    _axes[0].plot(xs, p_g, label="p_g")
    _axes[0].plot(xs, guess, "k:", label="D(x)")
    _axes[0].plot(xs, best, "--", color="grey", linewidth=0.8, label="D*(x)")
    _axes[0].set(ylim=(0, 1.6))
    _axes[0].legend()
    _axes[1].plot([d for d, _ in losses], label="D")
    _axes[1].plot([g for _, g in losses], label="G")
    _axes[1].axhline(math.log(2), color="grey", linestyle=":")
    _axes[1].set(xlabel=t.pick("paso", "step"), ylabel=t.pick("pérdida", "loss"), ylim=(0, 2))
    _axes[1].legend()
    t.image(
        _figure,
        es=f"La red generadora aprendió media {learned[0]:.2f} y desviación {learned[1]:.2f}. Línea de puntos gris: ln 2",
        en=f"The generator learned a mean of {learned[0]:.2f} and a deviation of {learned[1]:.2f}. Dotted grey line: ln 2",
        width=720,
    )
    return (bell,)


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## El juego

        El generador $G$ convierte ruido $z$ en una muestra $G(z)$. El discriminador $D$ da la probabilidad de que
        una muestra sea real. Juegan por el mismo número (Goodfellow y otros, 2014): $D$ lo quiere grande y $G$,
        pequeño.

        $$\min_G \max_D\ V(D, G) = \mathbb{E}_{x \sim p_{\text{data}}}[\ln D(x)] + \mathbb{E}_{z}[\ln(1 - D(G(z)))]$$

        **El mejor discriminador.** Con $G$ fijo, cada $x$ aporta $p_{\text{data}} \ln D + p_g \ln(1 - D)$. La
        derivada $p_{\text{data}}/D - p_g/(1-D)$ es cero cuando

        $$D^*(x) = \frac{p_{\text{data}}(x)}{p_{\text{data}}(x) + p_g(x)}$$

        **El equilibrio.** Si $p_g = p_{\text{data}}$, entonces $D^* = \tfrac12$ en todas partes y
        $V = \ln\tfrac12 + \ln\tfrac12 = -\ln 4 = -1{,}386$. No hay valor menor, porque

        $$V(D^*, G) = -\ln 4 + 2\,\mathrm{JS}(p_{\text{data}} \,\|\, p_g)$$

        y la divergencia de Jensen-Shannon es cero solo si las dos distribuciones son iguales.

        ## El código más corto

        El mejor discriminador y el valor del juego se pueden calcular con una suma. Mueve la media del generador:
    """,
        en=r"""
        ## The game

        The generator $G$ turns noise $z$ into a sample $G(z)$. The discriminator $D$ gives the probability that a
        sample is real. They play for one number (Goodfellow and others, 2014): $D$ wants it large, $G$ small.

        $$\min_G \max_D\ V(D, G) = \mathbb{E}_{x \sim p_{\text{data}}}[\ln D(x)] + \mathbb{E}_{z}[\ln(1 - D(G(z)))]$$

        **The best discriminator.** For a fixed $G$, each $x$ adds $p_{\text{data}} \ln D + p_g \ln(1 - D)$. The
        derivative $p_{\text{data}}/D - p_g/(1-D)$ is zero where

        $$D^*(x) = \frac{p_{\text{data}}(x)}{p_{\text{data}}(x) + p_g(x)}$$

        **The equilibrium.** If $p_g = p_{\text{data}}$, then $D^* = \tfrac12$ everywhere, and $V = \ln\tfrac12 +
        \ln\tfrac12 = -\ln 4 = -1.386$. There is no lower value, because

        $$V(D^*, G) = -\ln 4 + 2\,\mathrm{JS}(p_{\text{data}} \,\|\, p_g)$$

        and the Jensen-Shannon divergence is zero only for equal distributions.

        ## The smallest code

        The best discriminator and the value of the game can be computed by a sum. Move the generator's mean:
    """,
    )
    return


@app.cell
def _(t):
    offset = t.slider(0, 5, step=0.25, value=1, es="distancia entre las medias", en="distance of the means")
    offset
    return (offset,)


@app.cell
def _(bell, kit, math, np, offset, t):
    def value(distance):
        grid = np.linspace(-12, 12, 4001)
        data, generated = bell(grid, 0, 1), bell(grid, distance, 1)
        d = data / (data + generated)
        inside = data * np.log(d) + generated * np.log(generated / (data + generated))
        return float(inside.sum() * (grid[1] - grid[0]))

    here = value(offset.value)
    _figure, _axes = kit.plot()
    _distances = np.arange(0, 5.1, 0.25)
    _axes.plot(_distances, [value(each) for each in _distances])
    _axes.plot([offset.value], [here], "o", color="black")
    _axes.axhline(-math.log(4), linestyle=":", color="grey")
    _axes.set(xlabel=t.pick("distancia entre las medias", "distance of the means"), ylabel="V(D*, G)")
    t.image(
        _figure,
        es=f"V = {here:.3f}; el mínimo es −ln 4 = {-math.log(4):.3f}",
        en=f"V = {here:.3f}; the least is −ln 4 = {-math.log(4):.3f}",
        width=520,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## De dónde sale el −ln 4

        Pon $D^*$ en $V$ y multiplica y divide cada fracción entre 2:

        $$V(D^*, G) = \mathbb{E}_{p_{\text{data}}}\!\left[\ln \frac{p_{\text{data}}}{2\,m}\right] + \mathbb{E}_{p_g}\!\left[\ln \frac{p_g}{2\,m}\right], \qquad m = \tfrac12 (p_{\text{data}} + p_g)$$

        Los dos 2 salen como $-\ln 2 - \ln 2 = -\ln 4$, y queda la suma de dos divergencias de Kullback-Leibler con
        la mezcla $m$:

        $$V(D^*, G) = -\ln 4 + \mathrm{KL}(p_{\text{data}} \,\|\, m) + \mathrm{KL}(p_g \,\|\, m) = -\ln 4 + 2\,\mathrm{JS}$$

        Ninguna KL es negativa, y solo es cero si las dos distribuciones son iguales; de ahí el mínimo. El otro
        extremo también se calcula: si los datos y lo generado no se tocan nunca, cada término vale 0 ($D^*$ es 1 o
        0 y acierta siempre), así que $V = 0$ y $\mathrm{JS} = \ln 2$. La curva de arriba va de $-1{,}386$ a $0$ y
        no puede salir de ahí.

        La segunda derivada confirma que $D^*$ es un máximo: $-p_{\text{data}}/D^2 - p_g/(1-D)^2 < 0$.
        """,
        en=r"""
        ## Where the −ln 4 comes from

        Put $D^*$ into $V$, and multiply and divide each fraction by 2:

        $$V(D^*, G) = \mathbb{E}_{p_{\text{data}}}\!\left[\ln \frac{p_{\text{data}}}{2\,m}\right] + \mathbb{E}_{p_g}\!\left[\ln \frac{p_g}{2\,m}\right], \qquad m = \tfrac12 (p_{\text{data}} + p_g)$$

        The two 2s come out as $-\ln 2 - \ln 2 = -\ln 4$, and what is left are two Kullback-Leibler divergences from
        the mixture $m$:

        $$V(D^*, G) = -\ln 4 + \mathrm{KL}(p_{\text{data}} \,\|\, m) + \mathrm{KL}(p_g \,\|\, m) = -\ln 4 + 2\,\mathrm{JS}$$

        No KL is negative, and it is zero only for equal distributions; this is the minimum. The other end can be
        computed too: where data and generated samples never meet, each term is 0 ($D^*$ is 1 or 0, and always
        right), so $V = 0$ and $\mathrm{JS} = \ln 2$. The curve above runs from $-1.386$ to $0$ and cannot leave
        that range.

        The second derivative confirms that $D^*$ is a maximum: $-p_{\text{data}}/D^2 - p_g/(1-D)^2 < 0$.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Lejos, la curva se aplana: cuando $D$ no se equivoca nunca, el gradiente de $\ln(1 - D(G(z)))$ desaparece y
        $G$ no aprende. Por eso en la práctica $G$ minimiza $-\ln D(G(z))$, que apunta al mismo lugar con más
        fuerza. Es lo que hace `play`, y también la biblioteca.

        ## 0,693, y no 0,47

        Un discriminador que no distingue dice $\tfrac12$ y paga, por imagen, la entropía cruzada

        $$-\ln \tfrac12 = \ln 2 = 0{,}693$$

        Ese es el número de referencia al leer un registro de entrenamiento. En las tesis de las que nació Calco se
        lee en su lugar «log 3 = 0,47». Hay dos confusiones. Primera, la base: $\log_{10} 3 = 0{,}477$, pero las
        bibliotecas usan el logaritmo natural, $\ln 3 = 1{,}099$. Segunda, el número: las opciones son dos (real o
        generada), no tres; $\ln 3$ es lo que paga quien duda entre *tres* clases.
    """,
        en=r"""
        Far away the curve is flat: where $D$ is never wrong, the gradient of $\ln(1 - D(G(z)))$ vanishes, and $G$
        does not learn. So in practice $G$ minimises $-\ln D(G(z))$, which points to the same place with more force.
        This is what `play` does, and the library too.

        ## 0.693, and not 0.47

        A discriminator that cannot tell says $\tfrac12$, and pays for each image the cross-entropy

        $$-\ln \tfrac12 = \ln 2 = 0.693$$

        This is the number of reference when one reads a training log. In the theses from which Calco grew one reads
        "log 3 = 0.47" in its place. There are two confusions. First, the base: $\log_{10} 3 = 0.477$, but libraries
        take the natural logarithm, $\ln 3 = 1.099$. Second, the number: there are two options (real or generated),
        not three; $\ln 3$ is what somebody pays who doubts between *three* classes.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        El mismo error se ve en otra cuenta. El valor del juego es la suma de dos términos, $\ln\tfrac12 +
        \ln\tfrac12 = -\ln 4$; quien lee «$\log 4$» y toma el logaritmo decimal escribe $-0{,}602$ y busca ese
        número en un registro donde nunca aparecerá:
        """,
        en=r"""
        The same mistake shows in another sum. The value of the game is the sum of two terms, $\ln\tfrac12 +
        \ln\tfrac12 = -\ln 4$; somebody who reads "$\log 4$" and takes the decimal logarithm writes $-0.602$, and
        looks for it in a log where it will never appear:
        """,
    )
    return


@app.cell
def _(math, t):
    t.table(
        [
            {t.pick("opciones", "options"): n, "ln n": f"{math.log(n):.4f}", "log₁₀ n": f"{math.log10(n):.4f}"}
            for n in (2, 3, 4)
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Por qué G no minimiza ln(1 − D)

        Sea $a$ el logit de $D$ sobre una imagen generada, $D = \sigma(a)$. Las dos pérdidas de $G$ tienen derivadas
        muy distintas:

        $$\frac{d}{da}\ln(1 - \sigma(a)) = -\sigma(a), \qquad \frac{d}{da}\big(-\ln \sigma(a)\big) = -(1 - \sigma(a))$$

        Al empezar, $D$ reconoce todo: $\sigma(a) \approx 0$. La primera derivada es entonces casi cero
        (*saturada*), justo cuando más falta hace; la segunda es casi $-1$. Las dos tienen el mismo equilibrio.
        """,
        en=r"""
        ## Why G does not minimise ln(1 − D)

        Let $a$ be $D$'s logit for a generated image, $D = \sigma(a)$. The two losses of $G$ have very different
        derivatives:

        $$\frac{d}{da}\ln(1 - \sigma(a)) = -\sigma(a), \qquad \frac{d}{da}\big(-\ln \sigma(a)\big) = -(1 - \sigma(a))$$

        At the beginning $D$ recognises everything: $\sigma(a) \approx 0$. Then the first derivative is nearly zero
        (*saturated*) just when it is needed most; the second is nearly $-1$. Both have the same equilibrium.
        """,
    )
    return


@app.cell
def _(t):
    t.table(
        [
            {
                "D(G(z))": d,
                t.pick("empuje de ln(1 − D)", "push of ln(1 − D)"): d,
                t.pick("empuje de −ln D", "push of −ln D"): 1 - d,
                t.pick("razón", "ratio"): (1 - d) / d,
            }
            for d in (0.001, 0.01, 0.1, 0.5, 0.9)
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Un juego puede dar vueltas

        Minimizar es bajar; *jugar*, no. El juego más pequeño es $\min_x \max_y\, xy$, con equilibrio en $(0, 0)$.
        Si los dos dan su paso a la vez,

        $$\begin{pmatrix} x \\ y \end{pmatrix} \leftarrow \begin{pmatrix} 1 & -\eta \\ \eta & 1 \end{pmatrix} \begin{pmatrix} x \\ y \end{pmatrix}$$

        y esa matriz gira y *alarga*: multiplica la distancia al centro por $\sqrt{1 + \eta^2} > 1$. Nunca llega. Si
        juegan por turnos (el segundo ya ve el paso del primero), el determinante es 1 y da vueltas sin alejarse.
        Mueve la tasa:
        """,
        en=r"""
        ## A game can go in circles

        To minimise is to go down; to *play* is not. The smallest game is $\min_x \max_y\, xy$, with its equilibrium
        at $(0, 0)$. If both step at once,

        $$\begin{pmatrix} x \\ y \end{pmatrix} \leftarrow \begin{pmatrix} 1 & -\eta \\ \eta & 1 \end{pmatrix} \begin{pmatrix} x \\ y \end{pmatrix}$$

        and this matrix turns and *stretches*: it multiplies the distance from the centre by $\sqrt{1 + \eta^2} >
        1$. It never arrives. If they play in turns (the second one sees the step of the first), the determinant is
        1, and they circle without leaving. Move the rate:
        """,
    )
    return


@app.cell
def _(t):
    rate = t.slider(0.02, 0.4, step=0.02, value=0.1, es="tasa η", en="rate η")
    rate
    return (rate,)


@app.cell
def _(kit, np, rate, t):
    def walk(eta, alternating, steps=120):
        x, y, path = 1.0, 0.0, [(1.0, 0.0)]
        for _ in range(steps):
            new_x = x - eta * y
            y += eta * (new_x if alternating else x)
            x = new_x
            path.append((x, y))
        return np.array(path)

    _figure, _axes = kit.plot(4.2, 3.8)
    for _alternating, _label in ((False, t.pick("a la vez", "at once")), (True, t.pick("por turnos", "in turns"))):
        _axes.plot(*walk(rate.value, _alternating).T, label=_label)
    _axes.plot(0, 0, "k+")
    _axes.set(xlabel="x", ylabel="y", aspect="equal", xlim=(-4, 4), ylim=(-4, 4))
    _axes.legend()
    _end = np.hypot(*walk(rate.value, False)[-1])
    t.image(
        _figure,
        es=f"120 pasos desde (1, 0). A la vez: la distancia final es {_end:.2f} = (1 + η²)^60",
        en=f"120 steps from (1, 0). At once: the last distance is {_end:.2f} = (1 + η²)^60",
        width=420,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Por eso las curvas de una GAN ondulan y no bajan, y por eso se usan tasas pequeñas, poca inercia ($\beta_1 =
        0{,}5$ en Adam), un promedio móvil de los pesos de $G$ y, en pix2pix, una pérdida L1 que sí es una bajada.

        ## Lo que sale mal, y cómo se ve

        | en el registro o en las muestras | causa | qué se hace |
        |---|---|---|
        | pérdida de $D$ cerca de 0, la de $G$ crece | $D$ gana: memorizó los datos | aumentar lo que ve $D$, más datos, tasa menor |
        | pérdida de $D$ en 0,693 desde el primer paso | $D$ no aprende | mirar su tasa y que reciba ambas clases |
        | las muestras son buenas y todas iguales | **colapso de modos**: $G$ encontró una respuesta que engaña | lotes mayores, otra pérdida; en pix2pix, L1 lo frena |
        | las dos pérdidas ondulan y las imágenes mejoran | lo normal | nada: elige el punto con una métrica |

        Ninguna de las dos pérdidas mide la calidad. Cuando $G$ mejora, $D$ también, y el número queda donde estaba.
        """,
        en=r"""
        This is why the curves of a GAN wave and do not fall, and why one takes small rates, little momentum
        ($\beta_1 = 0.5$ in Adam), a moving average of $G$'s weights and, in pix2pix, an L1 loss, which is a
        descent.

        ## What goes wrong, and how one sees it

        | in the log or in the samples | cause | what to do |
        |---|---|---|
        | $D$'s loss near 0, $G$'s grows | $D$ wins: it knows the data by heart | augment what $D$ sees, more data, a lower rate |
        | $D$'s loss at 0.693 from the first step | $D$ does not learn | look at its rate, and that it gets both kinds |
        | the samples are good and all alike | **mode collapse**: $G$ found one answer that deceives | larger batches, another loss; in pix2pix L1 curbs it |
        | both losses wave and the images improve | as it should be | nothing: choose the step by a metric |

        Neither loss measures quality. When $G$ improves, so does $D$, and the number stays where it was.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        La biblioteca guarda ese valor para cada pérdida, porque no todas pagan lo mismo, y describe con él el
        equilibrio:
    """,
        en="""
        The library keeps this value for each loss, because not all of them pay alike, and describes the balance
        with it:
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.training.objectives:balance", "calco.training.objectives:discriminator_loss")
    return


@app.cell(hide_code=True)
def _(losses, np, t):
    _last = np.mean([d for d, _ in losses[-50:]]) if losses else float("nan")
    t(
        es=rf"""
        En el juego de arriba, $D$ pagó {_last:.3f} en los últimos cincuenta pasos.
        """,
        en=rf"""
        In the game above $D$ paid {_last:.3f} in the last fifty steps.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Ejercicios

        **1.** En un punto $p_{\text{data}} = 0.3$ y $p_g = 0.1$. ¿Qué dice $D^*$?
        """,
        en=r"""
        ## Exercises

        **1.** At some point $p_{\text{data}} = 0.3$ and $p_g = 0.1$. What does $D^*$ say?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        $0{,}3 / (0{,}3 + 0{,}1) = 0{,}75$: tres de cada cuatro muestras que caen ahí son reales.
    """,
        en="""
        $0.3 / (0.3 + 0.1) = 0.75$: three of four samples that fall there are real.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** La suma de las dos partes de la pérdida de $D$ se queda en 1,386. ¿Terminó el entrenamiento? **3.**
        ¿Y si cae a 0,01?
    """,
        en="""
        **2.** The sum of the two parts of $D$'s loss stays at 1.386. Is the training finished? **3.** And if it
        falls to 0.01?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        **2.** Es $2 \ln 2$: $D$ no distingue. Puede ser el equilibrio o un discriminador demasiado débil; hay que
        mirar las imágenes. **3.** $D$ reconoce casi todo y ya no enseña: una tasa menor para $D$, más datos o
        aumento de lo que ve.
    """,
        en=r"""
        **2.** It is $2 \ln 2$: $D$ cannot tell. It may be the equilibrium, or too weak a discriminator; one must
        look at the images. **3.** $D$ recognises nearly everything, and no longer teaches: a lower rate for $D$,
        more data, or augmentation of what it sees.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
