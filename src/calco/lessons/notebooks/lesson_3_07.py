import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.7 · Una U-Net, capa por capa · A U-Net, layer by layer",
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
        "3.7",
        es="""
        Construimos una U-Net en treinta líneas y miramos qué forma tiene la imagen después de cada capa. Mueve los
        deslizadores: el ancho y la profundidad deciden los parámetros y lo que se ve en el fondo de la «U».
    """,
        en="""
        We build a U-Net in thirty lines, and look at the shape of the image after each layer. Move the sliders:
        width and depth decide the parameters, and what is seen at the bottom of the "U".
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    width = t.slider(4, 64, step=4, value=16, es="canales de la primera capa", en="channels of the first layer")
    depth = t.slider(2, 5, value=4, es="niveles", en="levels")
    kit.mo.hstack([width, depth], justify="start", wrap=True)
    return depth, width


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Cada nivel del **codificador** hace dos convoluciones de 3 × 3 y reduce a la mitad: el mapa pierde lugar y
        gana canales, es decir, cambia *dónde* por *qué*. El **decodificador** amplía al doble y concatena el mapa
        guardado del mismo nivel:

        $$d_l = g_l\big([\,e_l,\ \operatorname{up}(d_{l+1})\,]\big)$$

        $e_l$ sabe dónde está el borde; $d_{l+1}$ sabe de qué objeto es. La última convolución, de 1 × 1, da un
        logit por clase en cada píxel.

        ## El código más corto
    """,
        en=r"""
        ## The idea

        Each level of the **encoder** makes two 3 × 3 convolutions and halves the size: the map loses place and
        gains channels, that is, it exchanges *where* for *what*. The **decoder** doubles the size, and concatenates
        the map that was kept at the same level:

        $$d_l = g_l\big([\,e_l,\ \operatorname{up}(d_{l+1})\,]\big)$$

        $e_l$ knows where the border is; $d_{l+1}$ knows to which object it belongs. The last convolution, of 1 × 1,
        gives one logit for each class at each pixel.

        ## The smallest code
    """,
    )
    return


@app.cell
def _():
    import torch
    from torch import nn

    def double(channels, width):
        return nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )

    class UNet(nn.Module):
        def __init__(self, width=16, depth=4, classes=4):
            super().__init__()
            widths = [width * 2**level for level in range(depth)]
            self.encoder = nn.ModuleList(double(a, b) for a, b in zip([3, *widths[:-1]], widths, strict=True))
            self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
            self.decoder = nn.ModuleList(double(2 * w, w) for w in widths[-2::-1])
            self.head = nn.Conv2d(width, classes, 1)

        def forward(self, x, note=lambda name, x: None):
            kept = []
            for level, block in enumerate(self.encoder):
                if level:
                    x = nn.functional.max_pool2d(x, 2)
                x = block(x)
                kept.append(x)
                note(f"e{level}", x)
            kept.pop()  # the lowest has no partner
            for up, block in zip(self.ups, self.decoder, strict=True):
                x = torch.cat([kept.pop(), up(x)], 1)
                note(f"[e{len(kept)}, up]", x)
                x = block(x)
                note(f"d{len(kept)}", x)
            x = self.head(x)
            note("logits", x)
            return x

    return UNet, double, nn, torch


@app.cell
def _(UNet, depth, t, torch, width):
    torch.manual_seed(0)
    net = UNet(width.value, depth.value)
    shapes = []
    with torch.no_grad():
        net(torch.zeros(1, 3, 96, 96), lambda name, x: shapes.append((name, tuple(x.shape), x[0].numel())))
    parameters = sum(each.numel() for each in net.parameters())
    t.table(
        [
            {t.pick("capa", "layer"): name, "N, C, H, W": str(shape), t.pick("valores", "values"): values}
            for name, shape, values in shapes
        ]
    )
    return net, parameters, shapes


@app.cell(hide_code=True)
def _(depth, parameters, shapes, t):
    _first, _last = shapes[0], shapes[depth.value - 1]
    t(
        es=f"""
        **{parameters:,} parámetros.** Arriba hay {_first[2]:,} valores con {_first[1][1]} canales; en el fondo,
        {_last[2]:,} con {_last[1][1]} canales en {_last[1][2]} × {_last[1][3]} lugares. Sin conexiones de salto,
        todo lo que sabe el decodificador pasa por ahí.

        ## ¿Dónde están los parámetros?

        Una convolución de 3 × 3 de $a$ a $b$ canales tiene $9ab$ pesos. Como el ancho se duplica en cada nivel,
        cada uno tiene cuatro veces los pesos del anterior, aunque hace el mismo número de operaciones por imagen,
        porque sus mapas tienen un cuarto del área.
    """,
        en=f"""
        **{parameters:,} parameters.** At the top there are {_first[2]:,} values in {_first[1][1]} channels; at the
        bottom {_last[2]:,} in {_last[1][1]} channels at {_last[1][2]} × {_last[1][3]} places. Without skip
        connections all that the decoder knows passes through there.

        ## Where are the parameters?

        A 3 × 3 convolution from $a$ to $b$ channels has $9ab$ weights. As the width doubles at each level, each has
        four times the weights of the one before, though it does as many operations for an image, because its maps
        have a quarter of the area.
    """,
    )
    return


@app.cell
def _(depth, kit, net, nn, t):
    counts = [sum(p.numel() for p in block.parameters()) for block in net.encoder]
    work = [
        sum(m.weight.numel() for m in block if isinstance(m, nn.Conv2d)) * (96 >> level) ** 2 / 1e6
        for level, block in enumerate(net.encoder)
    ]
    _figure, _axes = kit.plot(6.4, 2.6, columns=2)
    _axes[0].bar(range(depth.value), counts)
    _axes[0].set(title=t.pick("parámetros", "parameters"), xlabel=t.pick("nivel", "level"), xticks=range(depth.value))
    _axes[1].bar(range(depth.value), work)
    _axes[1].set(
        title=t.pick("millones de multiplicaciones", "million multiplications"),
        xlabel=t.pick("nivel", "level"),
        xticks=range(depth.value),
    )
    t.image(
        _figure,
        es="El codificador: los parámetros se concentran en el fondo; el trabajo se reparte",
        en="The encoder: parameters gather at the bottom; the work is spread",
        width=600,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## ¿Cuánto ve el fondo de la «U»?

        El campo receptivo sale de la fórmula de 3.3, contando también las reducciones. Una convolución de 3 × 3 en
        el nivel $l$ agrega $2 \cdot 2^l$ píxeles, porque un paso en su mapa son $2^l$ píxeles de la imagen; un *max
        pooling* de 2 × 2 agrega $2^l$ y duplica el paso. Con dos convoluciones por nivel y $L$ niveles,

        $$R = 1 + \sum_{l=0}^{L-1} 4 \cdot 2^l + \sum_{l=0}^{L-2} 2^l$$

        Suma y compara con lo que mide el gradiente. Un objeto más ancho que $R$ no cabe en ninguna neurona del
        fondo, y la red decide sus partes por separado.
        """,
        en=r"""
        ## How far does the bottom of the "U" see?

        The receptive field follows from the formula of 3.3, with the reductions counted too. A 3 × 3 convolution at
        level $l$ adds $2 \cdot 2^l$ pixels, because one step in its map is $2^l$ pixels of the image; a max pooling
        of 2 × 2 adds $2^l$ and doubles the step. With two convolutions at each level and $L$ levels,

        $$R = 1 + \sum_{l=0}^{L-1} 4 \cdot 2^l + \sum_{l=0}^{L-2} 2^l$$

        Add it up, and compare it with what the gradient measures. An object wider than $R$ fits into no neuron of
        the bottom, and the network decides its parts one by one.
        """,
    )
    return


@app.cell
def _(nn, t, torch):
    def bottom_field(levels):
        """Receptive field of the bottom: by the formula, and as the width of a gradient that is not zero."""
        formula = 1 + sum(4 * 2**level for level in range(levels)) + sum(2**level for level in range(levels - 1))
        steps = []
        for level in range(levels):
            steps += [nn.AvgPool2d(2)] if level else []  # the mean touches all four pixels, as the maximum may
            steps += [nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.Conv2d(1, 1, 3, padding=1, bias=False)]
        chain = nn.Sequential(*steps)
        for each in chain.parameters():
            nn.init.ones_(each)
        x = (
            torch.zeros(1, 1, 8, 256, requires_grad=True)
            if levels < 4
            else torch.zeros(1, 1, 16, 512, requires_grad=True)
        )
        y = chain(x)
        y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
        columns = x.grad[0, 0].any(0).nonzero()
        return formula, int(columns[-1] - columns[0] + 1)

    fields = {levels: bottom_field(levels) for levels in range(1, 6)}
    t.table(
        [
            {t.pick("niveles", "levels"): levels, t.pick("fórmula", "formula"): a, t.pick("gradiente", "gradient"): b}
            for levels, (a, b) in fields.items()
        ]
    )
    return (fields,)


@app.cell(hide_code=True)
def _(fields, t):
    t(
        es=rf"""
        Con cuatro niveles el fondo ve {fields[4][0]} píxeles: un objeto de nuestras escenas de 96 cabe entero.
        Con dos, {fields[2][0]}: apenas una rueda y su borde. Este número, y no la cantidad de parámetros, es lo primero
        que se revisa cuando una red pinta un objeto de dos clases.

        ## Subir: la convolución transpuesta

        Una convolución con zancada es una multiplicación $y = Cx$ por una matriz con pocas entradas distintas de
        cero. La **convolución transpuesta** multiplica por $C^\top$: cada valor del mapa pequeño *estampa* el
        filtro en la salida, a $s$ píxeles del siguiente, y donde dos estampas se superponen se suman. El tamaño de
        salida es

        $$n' = (n - 1)\,s + k$$

        Un píxel de la salida recibe $\lceil k/s \rceil$ o $\lfloor k/s \rfloor$ estampas. Si $k$ no es múltiplo de
        $s$, unos reciben más que otros y aparece un **tablero de ajedrez** (Odena y otros, 2016). Muévelo:
        """,
        en=rf"""
        With four levels the bottom sees {fields[4][0]} pixels: an object of our scenes of 96 fits in whole.
        With two, {fields[2][0]}: hardly more than a wheel and its border. This number, and not that of the parameters, is the first to look at
        when a network paints one object in two classes.

        ## Going up: the transposed convolution

        A convolution with a stride is a product $y = Cx$ with a matrix of few entries that are not zero. The
        **transposed convolution** multiplies by $C^\top$: each value of the small map *stamps* the filter on the
        output, $s$ pixels from the next one, and where two stamps overlap they are added. The size of the output is

        $$n' = (n - 1)\,s + k$$

        A pixel of the output gets $\lceil k/s \rceil$ or $\lfloor k/s \rfloor$ stamps along each axis. If $k$ is
        not a multiple of $s$, some get more than others, and a **checkerboard** appears (Odena and others, 2016).
        Move it:
        """,
    )
    return


@app.cell
def _(kit, t):
    kernel = t.slider(2, 6, value=3, es="lado del filtro k", en="side of the filter k")
    stamp = t.slider(1, 3, value=2, es="zancada s", en="stride s")
    kit.mo.hstack([kernel, stamp], justify="start", wrap=True)
    return kernel, stamp


@app.cell
def _(kernel, nn, stamp, t, torch):
    stamps = nn.functional.conv_transpose2d(
        torch.ones(1, 1, 9, 9), torch.ones(1, 1, kernel.value, kernel.value), stride=stamp.value
    )[0, 0]
    middle = stamps[stamps.shape[0] // 3 : -(stamps.shape[0] // 3), stamps.shape[1] // 3 : -(stamps.shape[1] // 3)]
    levels_seen = sorted({int(each) for each in middle.flatten()})
    t.image(
        (stamps / stamps.max()).numpy(),
        es=f"Un mapa de unos, ampliado con un filtro de unos: en el centro, un píxel recibe {levels_seen} estampas",
        en=f"A map of ones, enlarged by a filter of ones: in the middle a pixel gets {levels_seen} stamps",
        width=260,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Con $k = 3$ y $s = 2$ hay píxeles con 1, 2 y 4 estampas: el dibujo de las quejas. Con $k = 2, s = 2$ (la de
        arriba) o $k = 4, s = 2$ (la de pix2pix) el reparto es parejo, salvo en el borde; pero los pesos aprendidos
        pueden rehacer el tablero, porque los píxeles pares e impares usan pesos distintos. El remedio más firme es
        ampliar primero (vecino más cercano o bilineal) y convolucionar después: todos los píxeles usan los mismos
        pesos. En Calco se pide con `--generator.up resize`.

        ## Lo que sale mal, y cómo se ve

        - **Los logits tienen el tamaño equivocado por un píxel**: la entrada no es múltiplo de $2^{L-1}$.
        - **Un reborde raro junto al margen**: el relleno con ceros es un borde que la red aprende; en mosaicos
          grandes se descarta la orilla.
        - **La red con lotes de una imagen aprende mal**: la normalización por lotes estima media y varianza de una
          sola imagen. En un mapa de 1 × 1 la salida es constante: $(x - \bar x)/\sigma = 0$.
        - **Nada cambia al quitar un nivel**: los saltos bastaban, y el objeto cabe en el campo que queda.
        """,
        en=r"""
        With $k = 3$ and $s = 2$ there are pixels with 1, 2 and 4 stamps: the pattern that users complain of. With
        $k = 2, s = 2$ (the one above) or $k = 4, s = 2$ (that of pix2pix) they are shared evenly, but for the
        border; the learned weights may still bring the checkerboard back, because even and odd pixels use different
        weights. The firmest remedy is to enlarge first (nearest neighbour or bilinear) and to convolve afterwards:
        all pixels use the same weights. In Calco it is `--generator.up resize`.

        ## What goes wrong, and how one sees it

        - **The logits have the wrong size by a pixel**: the input is no multiple of $2^{L-1}$.
        - **A strange rim beside the border**: padding with zeros is an edge, and the network learns it; of large
          tiles the margin is thrown away.
        - **The network learns badly from batches of one image**: batch normalisation estimates mean and variance
          from one image. On a map of 1 × 1 the output is constant: $(x - \bar x)/\sigma = 0$.
        - **Nothing changes when a level is removed**: the skips sufficed, and the object fits into the field that
          is left.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La U-Net de Calco

        El generador de pix2pix usa otra receta: convoluciones de 4 × 4 con zancada 2 en vez de dos de 3 × 3 y *max
        pooling*; baja hasta 1 × 1; dropout en el decodificador, y $\tanh$ al final porque no da clases sino una
        imagen. La idea es la misma.
    """,
        en=r"""
        ## Calco's U-Net

        The generator of pix2pix has another recipe: 4 × 4 convolutions with stride 2 instead of two of 3 × 3 and
        max pooling; it goes down to 1 × 1; dropout in the decoder, and $\tanh$ at the end, because it gives no
        classes but an image. The idea is the same.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.networks.unet:UNet")
    return


@app.cell
def _(torch):
    from calco.networks.unet import UNet as CalcoUNet

    with torch.device("meta"):
        paper = CalcoUNet()
    paper_parameters = sum(each.numel() for each in paper.parameters())
    paper_parameters, paper.widths
    return (paper_parameters,)


@app.cell(hide_code=True)
def _(paper_parameters, t):

    t(
        es=f"""
        Sin argumentos es la red de referencia de pix2pix: {paper_parameters:,} parámetros para 256 × 256.
        """,
        en=f"""
        Without arguments it is pix2pix's reference network: {paper_parameters:,} parameters for 256 × 256.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** ¿Qué tamaños de imagen acepta una U-Net de 4 niveles? ¿Qué pasa con 100 × 100?
        """,
        en="""
        ## Exercises

        **1.** Which sizes of image does a U-Net of 4 levels take? What happens with 100 × 100?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Múltiplos de $2^3 = 8$. Con 100, los mapas miden 100, 50, 25 y 12; al subir, 24 no se puede concatenar con
        25 y PyTorch se queja. Se agrega un margen hasta 104 y se recorta al final, como hace Calco.
    """,
        en="""
        Multiples of $2^3 = 8$. With 100 the maps have 100, 50, 25 and 12; going up, 24 cannot be concatenated with
        25, and PyTorch complains. One pads to 104 and crops at the end, as Calco does.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Suma a mano los parámetros de la primera `double(3, 16)`.
    """,
        en="""
        **2.** Add up the parameters of the first `double(3, 16)` by hand.
    """,
    )
    return


@app.cell(hide_code=True)
def _(double, t):
    _sum = sum(p.numel() for p in double(3, 16).parameters())
    t.solution(
        es=rf"$9\cdot3\cdot16 + 2\cdot16 + 9\cdot16\cdot16 + 2\cdot16 = 432 + 32 + 2304 + 32 = 2800$; PyTorch cuenta {_sum}.",
        en=rf"$9\cdot3\cdot16 + 2\cdot16 + 9\cdot16\cdot16 + 2\cdot16 = 432 + 32 + 2304 + 32 = 2800$; PyTorch counts {_sum}.",
    )
    return


if __name__ == "__main__":
    app.run()
