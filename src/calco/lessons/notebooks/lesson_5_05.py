import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 5.5 · Bocetos de otra mano · Sketches by another hand",
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
        "5.5",
        es="""
        Un modelo que aprendió de un solo lápiz se confunde con otro. Cambia el estilo, el grosor y el pulso del
        boceto, y mira qué hace una red que solo vio contornos gruesos.
    """,
        en="""
        A model that has learned from one pencil is confused by another. Change style, thickness and steadiness of
        the sketch, and see what a network does that has seen only thick outlines.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    style = t.dropdown(
        {name: (name, name) for name in ("contour", "canny", "pencil", "xdog", "hatching", "charcoal", "stipple")},
        value="canny",
        es="estilo",
        en="style",
    )
    thickness = t.slider(0.4, 3, step=0.2, value=1.0, es="grosor", en="thickness")
    wobble = t.slider(0, 0.05, step=0.005, value=0.0, es="temblor", en="wobble")
    number = t.slider(0, 8, value=3, es="escena", en="scene")
    kit.mo.hstack([style, thickness, wobble, number], justify="start", wrap=True)
    return number, style, thickness, wobble


@app.cell
def _():
    import numpy as np

    import calco
    from calco.data.recipe_config import RecipeConfig, SketchConfig
    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes, short_config, trained

    images = str(scenes() / "images" / "train")
    one = trained(
        "sketch-contour", short_config(RecipeConfig(recipe="sketch", sketch=SketchConfig(style="contour")), images)
    )
    many_styles = SketchConfig(style="any", line_weight=(0.4, 3.0), wobble=(0.0, 0.03))
    many = trained("sketch-any", short_config(RecipeConfig(recipe="sketch", sketch=many_styles), images))
    tests = segmenting.labelled("test", 64).images

    def sketch(image, key="0", **settings):
        recipe = calco.build_recipe(RecipeConfig(recipe="sketch", sketch=SketchConfig(**settings)), "photographs")
        return recipe(calco.Sample(image=image, key=key, group=key), np.random.default_rng(0)).input

    return calco, many, np, one, sketch, tests


@app.cell
def _(calco, many, number, one, sketch, style, t, tests, thickness, wobble):
    drawn = sketch(
        tests[number.value], style=style.value, line_weight=(thickness.value,) * 2, wobble=(wobble.value,) * 2
    )
    outputs = one(drawn), many(drawn)
    _scores = [calco.psnr(each, tests[number.value]) for each in outputs]
    t.images(
        (tests[number.value], "original (OpenMoji, CC BY-SA 4.0)", "original (OpenMoji, CC BY-SA 4.0)"),
        (drawn, "el boceto", "the sketch"),
        (outputs[0], f"vio un estilo: {_scores[0]:.1f} dB", f"saw one style: {_scores[0]:.1f} dB"),
        (outputs[1], f"vio todos: {_scores[1]:.1f} dB", f"saw all: {_scores[1]:.1f} dB"),
        width=200,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Nadie tiene miles de pares de boceto y foto. Se parte de la foto y se *fabrica* el boceto, con un operador
        de bordes. El riesgo: la red no aprende «líneas», aprende *ese operador*. Un dibujante de la policía no
        dibuja con Canny.

        Casi todos los operadores parten del gradiente de la imagen suavizada, $\nabla(G_\sigma * I)$, o de una
        diferencia de suavizados:

        - **Canny** (1986): máximos del módulo $\|\nabla\|$ en su dirección, con dos umbrales: líneas finas, de un
          ancho.
        - **Contorno**: lo mismo tras un filtro que borra detalle y conserva bordes, y con trazo grueso.
        - **Lápiz**: el gris dividido entre su propio desenfoque, $I / (G_\sigma * I)$: papel donde es parejo.
        - **XDoG**: $S = (1 + p)\,G_\sigma * I - p\,G_{k\sigma} * I$, y tinta donde $S$ baja de un umbral.
        - **Tramado** (*hatching*): trazos paralelos, más cuanto más oscuro.
        - **Carboncillo** (*charcoal*): el tono frotado en una dirección, con el grano del papel.
        - **Puntillado** (*stipple*): puntos, más grandes cuanto más oscuro.

        El código más corto para tres operadores, sobre un dibujo que el paquete hace:
    """,
        en=r"""
        ## The idea

        Nobody has thousands of pairs of sketch and photograph. One starts from the photograph and *makes* the
        sketch, by an edge operator. The risk: the network does not learn "lines"; it learns *that operator*. A
        police artist does not draw with Canny.

        Nearly all operators start from the gradient of the smoothed image, $\nabla(G_\sigma * I)$, or from a
        difference of smoothed ones:

        - **Canny** (1986): maxima of the modulus $\|\nabla\|$ along its direction, with two thresholds: fine lines
          of one width.
        - **Contour**: the same after a filter that removes detail and keeps edges, with a thick line.
        - **Pencil**: grey divided by its own blur, $I / (G_\sigma * I)$: paper where it is even.
        - **XDoG**: $S = (1 + p)\,G_\sigma * I - p\,G_{k\sigma} * I$, and ink where $S$ is below a threshold.
        - **Hatching**: parallel strokes, more of them where it is darker.
        - **Charcoal**: the tone rubbed on in one direction, with the grain of the paper.
        - **Stipple**: dots, larger where it is darker.

        The smallest code for three operators, on a drawing that the package makes:
    """,
    )
    return


@app.cell
def _(kit, t):
    sigma = t.slider(0.5, 4, step=0.5, value=1.5, es="σ", en="σ")
    cut = t.slider(0.02, 0.5, step=0.02, value=0.12, es="umbral", en="threshold")
    kit.mo.hstack([sigma, cut], justify="start", wrap=True)
    return cut, sigma


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Medir la distancia entre estilos

        Los bocetos de entrenamiento vienen de una distribución $S$ y los de uso, de otra, $T$. La cota de Ben-David
        y otros (2010) dice qué se puede esperar:

        $$\varepsilon_T \;\le\; \varepsilon_S + \tfrac12\, d(S, T) + \lambda$$

        El error en uso es el de entrenamiento, más la *distancia* entre los dos mundos, más lo que ni el mejor
        modelo para ambos sabría. La distancia se estima con un truco barato: se entrena un clasificador a decir de
        qué mundo viene un boceto. Si se equivoca con frecuencia $\epsilon$,

        $$\hat d = 2\,(1 - 2\epsilon)$$

        Si acierta siempre, $\hat d = 2$: son mundos aparte. Si tira una moneda, $\hat d = 0$. Aquí el clasificador
        es el más simple (el centro más cercano) sobre cuatro medidas de un boceto: la tinta, los tonos intermedios,
        el grosor de la línea y cuántas líneas hay.
        """,
        en=r"""
        ## Measuring the distance between styles

        The sketches of the training come from one distribution, $S$, those in use from another, $T$. The bound of
        Ben-David and others (2010) says what to expect:

        $$\varepsilon_T \;\le\; \varepsilon_S + \tfrac12\, d(S, T) + \lambda$$

        The error in use is that of the training, plus the *distance* between the two worlds, plus what even the
        best model of both would not know. The distance is estimated by a cheap trick: train a classifier to tell
        from which world a sketch comes. If its error is $\epsilon$,

        $$\hat d = 2\,(1 - 2\epsilon)$$

        If it is always right, $\hat d = 2$: worlds apart. If it tosses a coin, $\hat d = 0$. Here the classifier is
        the simplest (the nearest centre) on four measures of a sketch: ink, middle tones, thickness of the line,
        and how many lines there are.
        """,
    )
    return


@app.cell
def _(kit, np, sketch, t, tests):
    import cv2

    def measures(image):
        """Ink, middle tones, thickness in pixels, and changes between ink and paper, of a sketch."""
        plane = image.astype(np.float32).mean(2) / 255
        ink = plane < 0.5
        inside = cv2.distanceTransform(ink.astype(np.uint8), cv2.DIST_L2, 3)[ink]
        return [
            ink.mean(),
            ((plane > 0.2) & (plane < 0.8)).mean(),
            inside.mean() if ink.any() else 0.0,
            (ink[:, 1:] != ink[:, :-1]).mean(),
        ]

    all_styles = ("contour", "canny", "pencil", "xdog", "hatching", "charcoal", "stipple")
    described = {
        name: np.array([measures(sketch(each, str(i), style=name)) for i, each in enumerate(tests)])
        for name in all_styles
    }

    def distance(first, second):
        """2 (1 - 2 error) of the nearest centre, each sketch left out once."""
        points = np.concatenate([first, second])
        points = (points - points.mean(0)) / (points.std(0) + 1e-9)
        sides = np.repeat([0, 1], [len(first), len(second)])
        wrong = 0
        for i, point in enumerate(points):
            rest = np.arange(len(points)) != i
            centres = [points[rest & (sides == side)].mean(0) for side in (0, 1)]
            wrong += np.linalg.norm(point - centres[1 - sides[i]]) <= np.linalg.norm(point - centres[sides[i]])
        return max(0.0, 2 * (1 - 2 * wrong / len(points)))

    gaps = np.array([[distance(described[a], described[b]) if a != b else 0 for b in all_styles] for a in all_styles])
    _figure, _axes = kit.plot(5.6, 4.6)
    _axes.imshow(gaps, vmin=0, vmax=2, cmap="Blues")
    _axes.grid(visible=False)
    _axes.set(
        xticks=range(len(all_styles)), yticks=range(len(all_styles)), xticklabels=all_styles, yticklabels=all_styles
    )
    _axes.tick_params(axis="x", rotation=30)
    for _row in range(len(all_styles)):
        for _column in range(len(all_styles)):
            _axes.text(
                _column,
                _row,
                f"{gaps[_row, _column]:.1f}",
                ha="center",
                va="center",
                color="white" if gaps[_row, _column] > 1.2 else "black",
            )
    t.image(
        _figure,
        es="Distancia entre estilos: 0 no se distinguen, 2 se distinguen siempre",
        en="Distance between styles: 0 cannot be told apart, 2 always can",
        width=520,
    )
    return all_styles, cv2


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Lee la fila de *contour*: esas distancias son el salto que le pides a un modelo que solo vio ese estilo.
        Entrenar con todos los estilos, con grosor y temblor al azar (*aleatorización del dominio*), no acerca los
        mundos: ensancha $S$ hasta que $T$ caiga adentro. El dibujo de una persona trae además lo que ningún
        operador hace: líneas que se repasan, partes que se omiten, proporciones exageradas y un papel con manchas.
        Por eso las medidas son un primer aviso, no un permiso.

        Lo que se ve cuando el salto es grande: manchas donde hay líneas dobles, color solo dentro de los contornos
        cerrados, y rayas del tramado que sobreviven en la foto.
        """,
        en="""
        Read the row of *contour*: these distances are the jump that you ask of a model that has seen that style
        only. To train on all styles, with random thickness and wobble (*domain randomisation*), does not bring the
        worlds closer: it widens $S$ until $T$ falls inside. A person's drawing also has what no operator makes:
        lines drawn twice, parts left out, exaggerated proportions, and paper with stains. So the measures are a
        first warning, not a licence.

        What one sees where the jump is great: blotches at double lines, colour only inside closed outlines, and
        strokes of the hatching that survive in the photograph.
        """,
    )
    return


@app.cell
def _(cut, cv2, np, sigma, t):
    from calco.data.sources.openmoji import draw, drawings_folder

    drawing = draw((drawings_folder() / "1F98A.svg").read_text(encoding="utf-8"), 192)
    plane = cv2.cvtColor(drawing, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    blurred = cv2.GaussianBlur(plane, (0, 0), sigma.value)
    slope = np.hypot(cv2.Sobel(blurred, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(blurred, cv2.CV_32F, 0, 1) / 8)
    wide = cv2.GaussianBlur(plane, (0, 0), 1.6 * sigma.value)
    t.images(
        ((slope < cut.value / 4).astype(np.float32), "gradiente y umbral", "gradient and threshold"),
        ((blurred - wide > -cut.value / 4).astype(np.float32), "diferencia de gaussianas", "difference of Gaussians"),
        (np.clip((plane + 0.02) / (wide + 0.02), 0, 1) ** 2, "lápiz: dividir", "pencil: divide"),
        width=220,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        La biblioteca hace cinco, y después mueve las líneas con un ruido suave (el temblor) y les pone papel:
    """,
        en="""
        The library makes five, and then moves the lines by smooth noise (the wobble), and puts paper under them:
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.data.recipes.sketch:draw", "calco.data.recipes.sketch:shaken")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué muestra

        Dos modelos con los mismos pasos: uno vio solo *contour*; el otro, todos los estilos con grosor y temblor al
        azar. Los dos reciben todos los estilos, en escenas de prueba:
    """,
        en="""
        ## What it shows

        Two models of equal steps: one has seen *contour* only, the other all styles with random thickness and
        wobble. Both get all styles, on scenes of the test:
    """,
    )
    return


@app.cell
def _(all_styles, calco, kit, many, np, one, sketch, t, tests):
    table = {}
    for _style in all_styles:
        _sketches = [sketch(each, str(i), style=_style) for i, each in enumerate(tests)]
        table[_style] = [
            float(np.mean([calco.psnr(model(a), b) for a, b in zip(_sketches, tests, strict=True)]))
            for model in (one, many)
        ]
    _figure, _axes = kit.plot()
    _places = np.arange(len(all_styles))
    for _shift, _column, _label in (
        (-0.2, 0, t.pick("vio un estilo", "saw one style")),
        (0.2, 1, t.pick("vio todos", "saw all")),
    ):
        _axes.bar(_places + _shift, [table[each][_column] for each in all_styles], 0.4, label=_label)
    _axes.set(xticks=_places, xticklabels=all_styles, ylabel="PSNR, dB")
    _axes.legend()
    t.image(_figure, es=f"Promedio de {len(tests)} escenas", en=f"Mean of {len(tests)} scenes", width=520)
    return (table,)


@app.cell(hide_code=True)
def _(t, table):
    _gain = {name: many_score - one_score for name, (one_score, many_score) in table.items()}
    _most, _least = max(_gain, key=_gain.get), min(_gain, key=_gain.get)
    t(
        es=f"""
        Haber visto todos los estilos cambia el puntaje en {_gain[_most]:+.1f} dB con *{_most}* y en
        {_gain[_least]:+.1f} dB con *{_least}*: con los mismos pasos, la variedad ayuda donde el estilo es otro y
        puede costar algo en el propio. Las diferencias son menores que las que ve el ojo, porque aquí el PSNR
        depende sobre todo del color del fondo, y un boceto no dice el color: vuelve a aparecer el promedio de 5.2 y
        5.3. El tramado y el lápiz, que dicen cuán oscuro es cada lugar, se reconstruyen mejor que las líneas solas
        cuando la red los conoce.

        La regla: **entrena con más variedad de la que verás**, y mide con un estilo que el entrenamiento no usó.
        Mejor aún, con dibujos de una persona.
        """,
        en=f"""
        To have seen all styles changes the score by {_gain[_most]:+.1f} dB with *{_most}* and by
        {_gain[_least]:+.1f} dB with *{_least}*: for equal steps, variety helps where the style is another, and may
        cost something in its own. The differences are smaller than those that the eye sees, because PSNR depends
        mostly on the colour of the ground here, and a sketch does not say the colour: the mean of 5.2 and 5.3
        appears again. Hatching and pencil, which say how dark each place is, are reconstructed better than lines
        alone once the network knows them.

        The rule: **train with more variety than you will meet**, and measure on a style that the training has not
        used. Better still, on drawings of a person.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Con estilo *contour*, ¿desde qué temblor empeora el modelo de un estilo? Usa el deslizador.
        """,
        en="""
        ## Exercises

        **1.** In the style *contour*, from which wobble does the model of one style get worse? Use the slider.
        """,
    )
    return


@app.cell(hide_code=True)
def _(calco, np, one, sketch, t, tests):
    _rows = []
    for _w in (0.0, 0.01, 0.02, 0.05):
        _made = [sketch(each, str(i), style="contour", wobble=(_w, _w)) for i, each in enumerate(tests)]
        _rows.append((_w, float(np.mean([calco.psnr(one(a), b) for a, b in zip(_made, tests, strict=True)]))))
    _text = "; ".join(f"{w:.2f}: {v:.1f} dB" for w, v in _rows)
    t.solution(
        es=f"Promedio por temblor: {_text}. El error incluye que las líneas ya no coinciden con la imagen: el PSNR castiga también el corrimiento.",
        en=f"Mean by wobble: {_text}. The error includes that lines no longer lie where the image has them: PSNR punishes the shift too.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Un clasificador distingue tus bocetos de los de un dibujante con 3 % de error. ¿Cuánto vale la
        distancia? ¿Qué harías?
        """,
        en="""
        **2.** A classifier tells your sketches from those of an artist with an error of 3%. What is the distance?
        What would you do?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $2(1 - 2 \cdot 0{,}03) = 1{,}88$ de un máximo de 2: son dos mundos. Mira *qué* medida los separa (grosor,
        cantidad de tinta, papel) y muévela en la receta hasta que el clasificador dude; después entrena.
        """,
        en=r"""
        $2(1 - 2 \cdot 0.03) = 1.88$ of at most 2: they are two worlds. See *which* measure separates them
        (thickness, amount of ink, paper), move it in the recipe until the classifier doubts, and then train.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Escribe la orden que entrena con todos los estilos y líneas variables.
    """,
        en="""
        **3.** Write the command that trains with all styles and varied lines.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        `calco train fotos --recipe sketch --style any --line-weight 0.4 3 --wobble 0 0.03 --paper 0 0.5`
    """,
        en="""
        `calco train photos --recipe sketch --style any --line-weight 0.4 3 --wobble 0 0.03 --paper 0 0.5`
    """,
    )
    return


if __name__ == "__main__":
    app.run()
