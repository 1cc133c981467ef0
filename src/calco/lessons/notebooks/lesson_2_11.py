import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.11 · Aumento de datos · Data augmentation")


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
        "2.11",
        es="""
        Una imagen, y todas las que pudo haber sido: con otra luz, desde otro lugar, con otra cámara. Mueve la fuerza y
        mira hasta dónde sigue siendo *la misma* imagen. Ese límite es todo el arte del aumento de datos.
        """,
        en="""
        One image, and all those that it could have been: in another light, from another place, by another camera. Move
        the strength, and watch how far it stays *the same* image. That limit is the whole art of data augmentation.
        """,
    )
    return (t,)


@app.cell
def _():
    import calco
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    training = [item for item in data.items if item.split == "train"]
    photo = data.load(training[14]).image
    return photo, training


@app.cell
def _(kit, t):
    strength = t.slider(0, 1, step=0.05, value=0.4, es="fuerza", en="strength")
    seed = t.slider(0, 20, value=3, es="semilla", en="seed")
    kit.mo.hstack([strength, seed], justify="start", wrap=True)
    return seed, strength


@app.cell
def _(augment, kit, np, photo, seed, strength, t):
    _rng = np.random.default_rng(seed.value)
    _shown = [augment(photo, strength.value, _rng) for _ in range(5)]
    kit.mo.vstack(
        [
            t.images(
                (photo, "la original", "the original"),
                *((each, f"variante {i}", f"variant {i}") for i, each in enumerate(_shown, 1)),
                width=180,
            ),
            t(
                es="*Escenas hechas con dibujos de OpenMoji, CC BY-SA 4.0.*",
                en="*Scenes made of drawings by OpenMoji, CC BY-SA 4.0.*",
            ),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Por qué

        Una red con millones de pesos puede memorizar doscientas fotos. Si en todas el auto mira a la izquierda,
        aprende que los autos miran a la izquierda: eso es **sobreajuste**. La cura es tener más fotos. Cuando no las
        hay, se fabrican a partir de las que hay.

        Sea $x$ una imagen, $y$ su etiqueta y $g$ una transformación que *no cambia la respuesta*: un auto reflejado
        sigue siendo un auto. En vez de la pérdida sobre los $n$ ejemplos, se minimiza su esperanza sobre las
        transformaciones:

        $$\min_\theta \; \frac{1}{n} \sum_{i=1}^{n} \mathbb{E}_{g \sim G}\left[\, L(f_\theta(g(x_i)),\, y_i) \,\right]$$

        La esperanza no se calcula: cada vez que una imagen aparece en el entrenamiento se sortea *una* $g$. En 80
        épocas, la red ve 80 versiones distintas de cada foto y nunca la misma dos veces. El conjunto $G$ dice lo que
        **tú sabes del problema** y la red no: que la luz cambia, que la cámara se mueve. Por eso no existe un aumento
        «bueno» en general:

        - reflejar de izquierda a derecha no cambia un gato, pero sí una letra **b** o una señal de «gire a la derecha»;
        - cambiar el tono no cambia un auto, pero sí distingue una manzana verde de una roja, o un semáforo;
        - girar 180° no cambia una célula vista al microscopio, pero nadie fotografía calles de cabeza.

        Hay dos familias. Las **geométricas** mueven píxeles de lugar: reflejo, giro, escala, recorte. Las
        **fotométricas** cambian sus valores: brillo, contraste, tono, ruido, desenfoque. La diferencia importa: las
        primeras mueven también las cajas y las máscaras; las segundas no (lección 2.12).

        ## Con qué: kornia, y por qué no Albumentations

        Durante años la respuesta en cualquier curso fue Albumentations. Ya no: su página dice que
        [«ya no se mantiene activamente» y que su última actualización fue en junio de
        2025](https://github.com/albumentations-team/albumentations/wiki). Su sucesora, AlbumentationsX, sí sigue viva,
        pero con licencia AGPL-3.0 o una comercial: quien publica un programa con otra licencia abierta no puede
        combinarlos sin más. Una biblioteca sin mantenimiento funciona hoy; el problema llega con la siguiente versión
        de Python o de NumPy, y nadie lo arregla.

        [kornia](https://kornia.readthedocs.io) es Apache-2.0 y está hecha sobre PyTorch. Eso trae tres cosas: trabaja
        con el lote entero en la GPU si la hay; sus operaciones son derivables; y cada una existe como **función** que
        recibe sus parámetros, no solo como objeto que los sortea por su cuenta. Lo último decide: si tú sorteas los
        números, tú puedes repetirlos.

        ## El código más corto

        Una matriz para toda la geometría y cuatro funciones para la luz. Los números salen de un generador de NumPy
        con su semilla; kornia solo obedece.
        """,
        en=r"""
        ## Why

        A network with millions of weights can memorise two hundred photos. If the car looks to the left in all of them,
        it learns that cars look to the left: that is **overfitting**. The cure is more photos. Where there are none,
        they are made from those that there are.

        Let $x$ be an image, $y$ its label, and $g$ a transformation that *does not change the answer*: a mirrored car
        is still a car. Instead of the loss over $n$ examples, its expectation over the transformations is minimised:

        $$\min_\theta \; \frac{1}{n} \sum_{i=1}^{n} \mathbb{E}_{g \sim G}\left[\, L(f_\theta(g(x_i)),\, y_i) \,\right]$$

        The expectation is not computed: each time that an image comes up in training, *one* $g$ is sampled. In 80 epochs
        the network sees 80 different versions of each photo, and never the same one twice. The set $G$ states what
        **you know about the problem** and the network does not: that light changes, that cameras move. So no
        augmentation is “good” in general:

        - mirroring left and right does not change a cat, but it does change a letter **b** or a “turn right” sign;
        - a shift of hue does not change a car, but it is what tells a green apple from a red one, or a traffic light;
        - a turn by 180° does not change a cell under the microscope, but nobody photographs streets upside down.

        There are two families. **Geometric** ones move pixels: mirroring, rotation, scale, crop. **Photometric** ones
        change their values: brightness, contrast, hue, noise, blur. The difference matters: the former move boxes and
        masks as well; the latter do not (lesson 2.12).

        ## With what: kornia, and why not Albumentations

        For years the answer in every course was Albumentations. It is not any more: its page says that it is
        [“no longer actively maintained”, with a last update in June
        2025](https://github.com/albumentations-team/albumentations/wiki). Its successor, AlbumentationsX, is alive, but
        under AGPL-3.0 or a commercial licence: who publishes a program under another open licence cannot simply combine
        the two. A library without maintenance works today; the trouble comes with the next release of Python or NumPy,
        and nobody repairs it.

        [kornia](https://kornia.readthedocs.io) is under Apache-2.0 and stands on PyTorch. That brings three things: it
        takes the whole batch, on the GPU if there is one; its operations can be differentiated; and each exists as a
        **function** that is given its parameters, not only as an object that samples them by itself. The last one
        decides: if you sample the numbers, you can repeat them.

        ## The smallest code

        One matrix for all the geometry, and four functions for the light. The numbers come from a NumPy generator with
        its seed; kornia only obeys.
        """,
    )
    return


@app.cell
def _():
    import numpy as np
    import torch
    from kornia.enhance import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
    from kornia.geometry.transform import get_affine_matrix2d, warp_affine

    def to_tensor(image):
        return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255  # HWC uint8 => NCHW in [0, 1]

    def to_image(tensor):
        return (tensor[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()

    def matrix(side, strength, rng):
        """Turn, scale and shift about the middle => 1 x 3 x 3."""
        turn, grow, across, down = rng.uniform(-1, 1, 4) * strength
        middle = torch.full((1, 2), side / 2)
        return get_affine_matrix2d(
            translations=torch.tensor([[across, down]]).float() * 0.25 * side,
            center=middle,
            scale=torch.full((1, 2), float(2**grow)),
            angle=torch.tensor([45.0 * turn]).float(),
        )

    def relight(x, strength, rng):
        brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4) * strength
        x = adjust_brightness(x, 0.5 * brightness)
        x = adjust_contrast(x, 1 + 0.8 * contrast)
        x = adjust_saturation(x, 1 + saturation)
        return adjust_hue(x, 0.5 * np.pi * hue)

    def augment(image, strength, rng):
        x = to_tensor(image)
        side = x.shape[-1]
        x = warp_affine(x, matrix(side, strength, rng)[:, :2], (side, side), padding_mode="reflection")
        if rng.random() < 0.5 * (strength > 0):
            x = x.flip(-1)
        return to_image(relight(x, strength, rng))

    return augment, np, to_image, to_tensor, torch, warp_affine


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Toda la geometría cabe en una matriz porque las transformaciones afines se componen por multiplicación:

        $$\begin{pmatrix} x' \\ y' \\ 1 \end{pmatrix} =
        \underbrace{\begin{pmatrix} s\cos\alpha & -s\sin\alpha & t_x \\ s\sin\alpha & s\cos\alpha & t_y \\
        0 & 0 & 1\end{pmatrix}}_{M} \begin{pmatrix} x \\ y \\ 1 \end{pmatrix}$$

        Girar, escalar y trasladar son *una* multiplicación y *un* solo muestreo de la imagen. Hacerlo en tres pasos
        interpolaría tres veces y la dejaría borrosa. Mídelo: la misma rotación de 24°, hecha de una vez o en ocho
        pasos de 3°.
        """,
        en=r"""
        All the geometry fits into one matrix, since affine transformations are composed by multiplication:

        $$\begin{pmatrix} x' \\ y' \\ 1 \end{pmatrix} =
        \underbrace{\begin{pmatrix} s\cos\alpha & -s\sin\alpha & t_x \\ s\sin\alpha & s\cos\alpha & t_y \\
        0 & 0 & 1\end{pmatrix}}_{M} \begin{pmatrix} x \\ y \\ 1 \end{pmatrix}$$

        Turning, scaling and shifting are *one* multiplication and *one* sampling of the image. Done in three steps, it
        would be interpolated three times and become blurred. Measure it: the same rotation by 24°, at once or in eight
        steps of 3°.
        """,
    )
    return


@app.cell
def _(np, photo, t, to_image, to_tensor, torch, warp_affine):
    from kornia.geometry.transform import get_rotation_matrix2d

    def rotate(x, degrees):
        middle = torch.full((1, 2), (x.shape[-1] - 1) / 2)
        turned = get_rotation_matrix2d(middle, torch.tensor([degrees]), torch.ones(1, 2))
        return warp_affine(x, turned, x.shape[-2:], padding_mode="reflection")

    once = rotate(to_tensor(photo), 24.0)
    often = to_tensor(photo)
    for _ in range(8):
        often = rotate(often, 3.0)

    def sharpness(x):
        """Mean size of the differences between neighbouring pixels."""
        return float(x.diff(dim=-1).abs().mean() * 255)

    _inside = np.s_[..., 48:-48, 48:-48]  # away from the borders
    t.images(
        (to_image(once), f"de una vez: contraste local {sharpness(once[_inside]):.2f}",
         f"at once: local contrast {sharpness(once[_inside]):.2f}"),
        (to_image(often), f"en ocho pasos: {sharpness(often[_inside]):.2f}",
         f"in eight steps: {sharpness(often[_inside]):.2f}"),
        width=260,
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Qué muestra: cuánto es demasiado

        La fuerza es un compromiso. Con poca, las variantes son casi la original y no enseñan nada. Con demasiada,
        $g$ deja de conservar la respuesta: el objeto sale del cuadro, o ya nadie lo reconocería. Un número ayuda a
        ver ese camino: cuánto se alejan las variantes de la original, comparado con cuánto se alejan de la original
        *otras fotos* del conjunto. Si una variante está más lejos que una foto cualquiera, ya no es «la misma».
        """,
        en=r"""
        ## What it shows: how much is too much

        Strength is a compromise. With little, the variants are almost the original and teach nothing. With too much,
        $g$ no longer preserves the answer: the object leaves the frame, or nobody would recognise it. A number helps to
        see that path: how far the variants are from the original, compared with how far *other photos* of the set are
        from it. A variant that is further away than any other photo is no longer “the same”.
        """,
    )
    return


@app.cell
def _(augment, kit, np, photo, strength, t, training):
    import calco as _calco
    from calco.lessons import scenes as _scenes

    _source = _calco.open_source(_scenes.scenes())
    _others = [_source.load(each).image for each in training[30:60]]

    def distance(a, b):
        """Root of the mean squared difference, in grey levels."""
        return float(np.sqrt(np.mean((a.astype(np.float32) - b) ** 2)))

    elsewhere = float(np.median([distance(photo, each) for each in _others]))
    strengths = np.linspace(0, 1, 9)
    _rng = np.random.default_rng(0)
    away = [np.mean([distance(photo, augment(photo, s, _rng)) for _ in range(12)]) for s in strengths]
    _figure, _axes = kit.plot()
    _axes.plot(strengths, away, marker="o", label=t.pick("variantes", "variants"))
    _axes.axhline(elsewhere, linestyle=":", color="grey", label=t.pick("otra foto cualquiera", "any other photo"))
    _axes.axvline(strength.value, color="black", linewidth=0.8)
    _axes.set(xlabel=t.pick("fuerza", "strength"), ylabel=t.pick("distancia, niveles de gris", "distance, grey levels"))
    _axes.legend()
    t.image(
        _figure,
        es=f"Distancia media a la original; otra foto está a {elsewhere:.0f} niveles. La línea negra es tu fuerza.",
        en=f"Mean distance from the original; another photo is {elsewhere:.0f} levels away. The black line: your strength.",
        width=560,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        La curva sube rápido al principio: mover la imagen unos píxeles ya cambia casi todos sus valores. Eso enseña
        dos cosas. La distancia entre píxeles es una mala medida de «lo mismo» (a ti no te engaña un giro de diez
        grados), y justo por eso la red necesita el aumento: para ella, que empieza viendo píxeles, esas imágenes *son*
        distintas. La respuesta definitiva no la da esta curva, sino la validación: **la fuerza se elige por el puntaje
        en imágenes de validación, que nunca se aumentan**.

        Reglas que resumen la práctica:

        1. Aumenta solo el entrenamiento. La validación y la prueba se miden como son.
        2. Sortea de nuevo en cada época; si guardas las variantes en disco, la red puede memorizarlas.
        3. Fija la semilla y deriva de ella, de la época y del nombre de la imagen cada número: así el resultado no
           depende de cuántos procesos cargan los datos. Calco lo hace así:
        """,
        en=r"""
        The curve rises fast at first: to move the image by a few pixels already changes almost all of its values. That
        teaches two things. The distance between pixels is a bad measure of “the same” (you are not fooled by a turn of
        ten degrees); and this is exactly why the network needs augmentation: to it, which begins with pixels, these
        images *are* different. The final answer does not come from this curve but from validation: **strength is chosen
        by the score on validation images, which are never augmented**.

        Rules that sum up the practice:

        1. Augment training alone. Validation and test are measured as they are.
        2. Sample again in every epoch; variants that are stored on disk can be memorised.
        3. Fix the seed, and derive each number from it, the epoch and the name of the image: then the result does not
           depend on how many processes load the data. Calco does it like this:
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.source("calco.data.sample:generator", "calco.data.augmentation:_lit")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Ejercicios

        **1.** Quieres reconocer dígitos escritos a mano. ¿Qué transformaciones de esta lección usarías y cuáles no?
        """,
        en="""
        ## Exercises

        **1.** You want to recognise handwritten digits. Which transformations of this lesson would you use, and which not?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Sí: giros pequeños, escala, traslación, algo de contraste y ruido. No: el reflejo (un 2 al revés no es un
        dígito) ni giros de más de unos 45° (un 6 se vuelve un 9). El tono no hace daño, pero en imágenes grises tampoco
        hace nada.
        """,
        en="""
        Yes: small turns, scale, shifts, some contrast and noise. No: mirroring (a mirrored 2 is no digit), and turns of
        more than about 45° (a 6 becomes a 9). Hue does no harm, but on grey images it does nothing either.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Con 119 imágenes de entrenamiento, 80 épocas y lotes de 8, ¿cuántas imágenes distintas ve la red con
        aumento? ¿Y sin él? ¿Cuántos pasos son?
        """,
        en="""
        **2.** With 119 training images, 80 epochs and batches of 8: how many different images does the network see with
        augmentation? And without it? How many steps are these?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=f"""
        Con aumento, 119 · 80 = {119 * 80}; sin él, siempre las mismas 119. En ambos casos son 119 // 8 = {119 // 8}
        lotes completos por época (Calco deja el resto para la siguiente mezcla), o sea unos {119 // 8 * 80} pasos: el
        aumento no alarga el entrenamiento, lo hace variado.
        """,
        en=f"""
        With augmentation 119 · 80 = {119 * 80:,}; without it always the same 119. Either way 119 // 8 = {119 // 8} full
        batches an epoch, that is some {119 // 8 * 80:,} steps: augmentation does not make training longer, but varied.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** Escribe `add_noise(x, deviation, rng)`, que sume ruido gaussiano a un tensor NCHW sin usar el generador
        global de torch. ¿Por qué importa eso último?
        """,
        en="""
        **3.** Write `add_noise(x, deviation, rng)`, which adds Gaussian noise to an NCHW tensor without torch's global
        generator. Why does the latter matter?
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, photo, t, to_tensor, torch):
    def add_noise(x, deviation, rng):
        return (x + torch.from_numpy(rng.normal(0, deviation, x.shape).astype(np.float32))).clamp(0, 1)

    _x = to_tensor(photo)
    _same = torch.equal(add_noise(_x, 0.1, np.random.default_rng(5)), add_noise(_x, 0.1, np.random.default_rng(5)))
    t.solution(
        es=f"""
        ```python
        def add_noise(x, deviation, rng):
            noise = rng.normal(0, deviation, x.shape).astype(np.float32)
            return (x + torch.from_numpy(noise)).clamp(0, 1)
        ```

        Dos veces con la semilla 5 da lo mismo: **{_same}**. Del generador global de torch dependen también el dropout y
        los pesos iniciales. Si el aumento lo usara, añadir una imagen al conjunto cambiaría el dropout de todas las
        demás, y un entrenamiento no se podría repetir ni reanudar igual.
        """,
        en=f"""
        ```python
        def add_noise(x, deviation, rng):
            noise = rng.normal(0, deviation, x.shape).astype(np.float32)
            return (x + torch.from_numpy(noise)).clamp(0, 1)
        ```

        Twice with seed 5 gives the same: **{_same}**. Dropout and initial weights depend on torch's global generator as
        well. If augmentation used it, one more image in the set would change the dropout of all others, and a training
        could neither be repeated nor resumed.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
