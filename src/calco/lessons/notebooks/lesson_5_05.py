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
        {name: (name, name) for name in ("contour", "canny", "pencil", "xdog", "hatching")},
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
    from calco.lessons.scenes import scenes
    from calco.lessons.short_runs import short_config, trained

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

        The smallest code for three operators, on a drawing that the package makes:
    """,
    )
    return


@app.cell
def _(kit, t):
    sigma = t.slider(0.5, 4, step=0.5, value=1.5, es="σ", en="σ")
    cut = t.slider(0.02, 0.5, step=0.02, value=0.12, es="umbral", en="threshold")
    kit.mo.hstack([sigma, cut], justify="start")
    return cut, sigma


@app.cell
def _(cut, np, sigma, t):
    import cv2

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
        azar. Los dos reciben los cinco estilos, en escenas de prueba:
    """,
        en="""
        ## What it shows

        Two models of equal steps: one has seen *contour* only, the other all styles with random thickness and
        wobble. Both get the five styles, on scenes of the test:
    """,
    )
    return


@app.cell
def _(calco, kit, many, np, one, sketch, t, tests):
    styles = ("contour", "canny", "pencil", "xdog", "hatching")
    table = {}
    for _style in styles:
        _sketches = [sketch(each, str(i), style=_style) for i, each in enumerate(tests)]
        table[_style] = [
            float(np.mean([calco.psnr(model(a), b) for a, b in zip(_sketches, tests, strict=True)]))
            for model in (one, many)
        ]
    _figure, _axes = kit.plot()
    _places = np.arange(len(styles))
    for _shift, _column, _label in (
        (-0.2, 0, t.pick("vio un estilo", "saw one style")),
        (0.2, 1, t.pick("vio todos", "saw all")),
    ):
        _axes.bar(_places + _shift, [table[each][_column] for each in styles], 0.4, label=_label)
    _axes.set(xticks=_places, xticklabels=styles, ylabel="PSNR, dB")
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

        ## Ejercicios

        **1.** Con estilo *contour*, ¿desde qué temblor empeora el modelo de un estilo? Usa el deslizador.
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
        **2.** Escribe la orden que entrena con todos los estilos y líneas variables.
    """,
        en="""
        **2.** Write the command that trains with all styles and varied lines.
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
