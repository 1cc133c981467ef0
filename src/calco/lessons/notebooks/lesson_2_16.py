import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.16 · Ajuste fino: los datos · Fine-tuning: the data")


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
        "2.16",
        es="""
        Dos maneras de separar las mismas 160 imágenes. Una da una prueba honesta; la otra, una que la red ya vio. Para
        cada imagen de prueba se busca la de entrenamiento que más se le parece:
        """,
        en="""
        Two ways to split the same 160 images. One gives an honest test; the other, one that the network has seen. For
        each test image, the most similar training image is looked up:
        """,
    )
    return (t,)


@app.cell
def _():
    import numpy as np

    import calco
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    samples = [data.load(item) for item in data.items]
    grounds = np.array(
        [item.key.split("/")[-1].split("@")[0] for item in data.items]
    )  # 012@2: third scene on ground 012
    split = np.array([item.split for item in data.items])
    return data, grounds, np, samples, split


@app.cell
def _(t):
    how = t.radio(
        {
            "groups": ("por grupos (el fondo)", "by groups (the ground)"),
            "images": ("imagen por imagen, al azar", "image by image, at random"),
        },
        value="images",
        es="separar",
        en="split",
    )
    how
    return (how,)


@app.cell
def _(grounds, how, kit, np, samples, split, t):
    thumbs = np.stack([s.image[8::16, 8::16].astype(np.float32).ravel() for s in samples])
    held = split != "train"
    if how.value == "images":  # as many, without regard to the ground
        held = np.zeros(len(samples), bool)
        held[np.random.default_rng(0).permutation(len(samples))[: int((split != "train").sum())]] = True
    _there = np.flatnonzero(~held)
    _distances = np.sqrt(((thumbs[held][:, None] - thumbs[_there][None]) ** 2).mean(axis=2))
    nearest = _distances.min(axis=1)
    leaked = float(np.isin(grounds[held], grounds[~held]).mean())
    _closest = int(nearest.argmin())
    _test, _train = np.flatnonzero(held)[_closest], _there[_distances[_closest].argmin()]
    kit.mo.vstack(
        [
            t.images(
                (samples[_test].image, "la imagen de prueba con el vecino más cercano", "the test image with the nearest neighbour"),
                (samples[_train].image, f"ese vecino, del entrenamiento: a {nearest.min():.0f} niveles de gris",
                 f"that neighbour, of training: {nearest.min():.0f} grey levels away"),
                width=260,
            ),
            t(es=f"**{leaked:.0%}** de las imágenes apartadas tienen su fondo también en el entrenamiento.",
              en=f"**{leaked:.0%}** of the held-out images have their ground in training too."),
        ]
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        *Escenas con dibujos de OpenMoji, CC BY-SA 4.0.*

        ## Tres montones y una regla

        - **Entrenamiento**: ajusta los pesos.
        - **Validación**: elige lo demás (cuándo parar, el umbral, la fuerza del aumento). Quien elige mirándola la
          gasta un poco en cada mirada.
        - **Prueba**: se mira una vez, al final. Es la única que dice algo del mundo.

        La regla: **nada de la prueba puede haber ayudado a elegir nada**. Romperla se llama *fuga* (*leakage*), y casi
        nunca es intencional. Las imágenes no son independientes: cuadros seguidos de un video, fotos de una misma
        calle, diez vistas de una persona. Si un cuadro cae en entrenamiento y el siguiente en prueba, medir la prueba
        es medir la memoria. Por eso se separa por **grupos**: lo que está emparentado cae entero del mismo lado. Aquí
        el grupo es el fondo.

        ## El código más corto

        Hay que repartir grupos sin guardar listas, y de modo que añadir imágenes mañana no mueva las de hoy. La
        solución es un **hash** del nombre del grupo: un número en $[0, 1)$ que parece al azar pero siempre es el
        mismo.
        """,
        en="""
        *Scenes with drawings by OpenMoji, CC BY-SA 4.0.*

        ## Three piles and a rule

        - **Training** adjusts the weights.
        - **Validation** chooses the rest (when to stop, the threshold, the strength of augmentation). Who chooses by
          it wears it out a little with each look.
        - **Test** is looked at once, at the end. It is the only one that says something about the world.

        The rule: **nothing of the test may have helped to choose anything**. To break it is called *leakage*, and it
        is hardly ever intended. Images are not independent: consecutive frames of a video, photos of one street, ten
        views of one person. If one frame falls into training and the next into the test, to measure the test is to
        measure memory. So the split is by **groups**: what is related falls on one side as a whole. Here the group is
        the ground.

        ## The smallest code

        Groups must be divided without keeping lists, and such that adding images tomorrow does not move those of
        today. The solution is a **hash** of the name of the group: a number in $[0, 1)$ that looks random but is
        always the same.
        """,
    )
    return


@app.cell
def _(grounds, np):
    import hashlib

    def share(name):
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64

    def split_of(group, validation=0.2, test=0.1):
        place = share(group)
        return "test" if place < test else "val" if place < test + validation else "train"

    mine = np.array([split_of(name) for name in grounds])
    {name: int((mine == name).sum()) for name in ("train", "val", "test")}
    return (split_of,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Con 60 fondos las proporciones salen solo *aproximadas*: es el precio de no mover nada nunca. En Calco, las
        carpetas `train`, `val` y `test`, o las listas que traiga el conjunto, mandan; si no las hay, se usa el hash
        del grupo. Y así quedaron nuestras escenas:
        """,
        en="""
        With 60 grounds the proportions are only *approximate*: this is the price of never moving anything. In Calco,
        folders `train`, `val` and `test`, or lists that the set brings, decide; without them, the hash of the group
        does. This is how our scenes were split:
        """,
    )
    return


@app.cell
def _(data, grounds, samples, split, t):
    rows = []
    for _name in ("train", "val", "test"):
        _mine = [s for s, part in zip(samples, split, strict=True) if part == _name]
        _classes = [c for s in _mine for c in s.detections.classes]
        rows.append(
            {t.pick("parte", "split"): _name, t.pick("imágenes", "images"): len(_mine),
             t.pick("fondos", "grounds"): len(set(grounds[split == _name])), t.pick("objetos", "objects"): len(_classes),
             **{c: _classes.count(c) for c in data.classes}}
        )  # fmt: skip
    t.table(rows)
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        La prueba tiene muy pocas imágenes y aún menos fondos: lo que se mida ahí tendrá un intervalo enorme (lección
        2.19, que fabrica una prueba mayor). Y hay otra fuga que la separación por fondo **no** evita: los 18 dibujos
        son los mismos en los tres montones. Un puntaje alto dirá «encuentra estos dibujos sobre fondos nuevos», no
        «encuentra animales». Cuál es el grupo depende de lo que quieres afirmar.

        ## ¿Caben los objetos en la red?

        El último control de los datos: el detector encaja cada imagen en un cuadrado. ¿Cuántos píxeles le quedan a
        cada objeto? Por debajo de unos 8 no hay nada que ver.
        """,
        en="""
        The test has very few images, and even fewer grounds: what is measured there will have a huge interval (lesson
        2.19, which makes a larger test). And there is another leak, which the split by grounds does **not** prevent:
        the 18 drawings are the same in all three piles. A high score will say “it finds these drawings on new
        grounds”, not “it finds animals”. What the group is depends on what you want to claim.

        ## Do the objects fit into the network?

        The last check of the data: the detector fits each image into a square. How many pixels are left for each
        object? Below some 8 there is nothing to see.
        """,
    )
    return


@app.cell
def _(t):
    square = t.slider(32, 320, step=32, value=96, es="lado del cuadrado (--size)", en="side of the square (--size)")
    square
    return (square,)


@app.cell
def _(kit, np, samples, square, t):
    sides = np.concatenate([np.sqrt(s.detections.areas()) / max(s.image.shape[:2]) for s in samples]) * square.value
    too_small = float((sides < 8).mean())
    _figure, _axes = kit.plot()
    _axes.hist(sides, bins=40)
    _axes.axvline(8, color="black", linestyle=":")
    _axes.set(xlabel=t.pick("lado del objeto en la red, píxeles", "side of the object in the network, pixels"))
    t.image(_figure, es=f"Con {square.value} píxeles, {too_small:.1%} de los objetos mide menos de 8; el costo crece con el "
            f"cuadrado del lado: {(square.value / 96) ** 2:.1f} veces el de 96",
            en=f"At {square.value} pixels, {too_small:.1%} of the objects have less than 8; the cost grows with the square of "
            f"the side: {(square.value / 96) ** 2:.1f} times that of 96", width=560)  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        `calco check carpeta` y `calco detect explore carpeta` hacen todos estos controles y más (cajas invertidas,
        dobles, clases que solo difieren en una mayúscula, fotos repetidas en dos montones) antes de gastar un minuto
        de entrenamiento.

        ## Ejercicios

        **1.** Tienes 50 videos de 2 minutos y anotas un cuadro por segundo. ¿Cuántas imágenes son? ¿Cuántas
        *independientes*?
        """,
        en="""
        `calco check folder` and `calco detect explore folder` do all of these checks and more (inverted boxes,
        doubles, classes that differ in a capital letter alone, photos repeated in two piles) before a minute of
        training is spent.

        ## Exercises

        **1.** You have 50 videos of 2 minutes, and annotate one frame a second. How many images are these? How many
        *independent* ones?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        50 · 120 = 6000 imágenes, pero solo 50 grupos. Con 10 % de prueba mides con 5 videos: el intervalo será el de cinco
        casos, no el de seiscientos.
        """,
        en="""
        50 · 120 = 6000 images, but only 50 groups. With a test of 10% you measure with 5 videos: the interval will be that of
        five cases, not of six hundred.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Añade 40 fondos nuevos a la lista y comprueba que `split_of` no mueve ninguno de los 60 anteriores.
        ¿Pasaría lo mismo con `np.random.permutation`?
        """,
        en="""
        **2.** Add 40 new grounds to the list, and check that `split_of` moves none of the 60 before. Would the same
        hold for `np.random.permutation`?
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, split_of, t):
    _old = [f"{i:03}" for i in range(60)]
    _before = {name: split_of(name) for name in _old}
    _after = {name: split_of(name) for name in [f"{i:03}" for i in range(100)]}
    _moved = sum(_before[name] != _after[name] for name in _old)

    def shuffled(count):
        order = np.random.default_rng(0).permutation(count)
        return {f"{i:03}": order[i] < count * 0.1 for i in range(count)}

    _first, _second = shuffled(60), shuffled(100)
    _swapped = sum(_first[name] != _second[name] for name in _old)
    t.solution(
        es=f"""
        Con el hash se mueven **{_moved}**: cada nombre decide por sí solo. Barajando la lista nueva cambian de lado
        **{_swapped}** de 60, y la prueba de ayer ya está en el entrenamiento de hoy.
        """,
        en=f"""
        With the hash **{_moved}** move: each name decides by itself. Shuffling the new list changes the side of
        **{_swapped}** of 60, and the test of yesterday is in the training of today.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
