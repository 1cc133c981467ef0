import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.5 · Usar un conjunto de datos de segmentación · Using a segmentation data set",
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
        "3.5",
        es="""
        Tres carpetas y un archivo bastan para entrenar: `images`, `masks`, `annotations`. Mueve el deslizador para ver
        los pares que recibirá la red. Después verás tres maneras de arruinarlos sin ningún mensaje de error: leer mal
        una máscara, promediarla al cambiar de tamaño y repartir mal las imágenes.
    """,
        en="""
        Three folders and a file suffice for training: `images`, `masks`, `annotations`. Move the slider to see the
        pairs that the network will receive. Then you will see three ways to spoil them without any error message: to
        read a mask wrongly, to average it where the size changes, and to split the images badly.
    """,
    )
    return (t,)


@app.cell
def _(t):
    import numpy as np
    import torch

    import calco
    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes

    folder = scenes()
    splits = {split: segmenting.labelled(split) for split in ("train", "val", "test")}
    train = splits["train"]
    number = t.slider(0, len(train.names) - 1, value=7, es="par", en="pair")
    number
    return calco, folder, np, number, segmenting, splits, torch, train


@app.cell
def _(number, segmenting, t, train):
    t.images(
        (train.images[number.value], "entrada (OpenMoji, CC BY-SA 4.0)", "input (OpenMoji, CC BY-SA 4.0)"),
        (segmenting.painted(train.classes[number.value]), "objetivo, pintado", "target, painted"),
        width=260,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## La idea

        Un par es $(x, y)$: una imagen $x$ de $H \times W \times 3$ y un mapa $y$ de $H \times W$ con números de clase,
        $y_{ij} \in \{0, 1, \dots, K-1\} \cup \{255\}$. Los dos tienen el mismo tamaño, y lo que se le hace a uno se le
        hace al otro. Pero no son lo mismo: el valor de un píxel de $x$ es una *cantidad* de luz, y el de $y$ es un
        *nombre*. Con cantidades se calcula; con nombres, solo se comparan. Casi todos los errores de esta lección vienen
        de olvidarlo.

        ## El código más corto: leer

        En 3.4 viste los formatos. Usarlos es convertir cualquiera de ellos en el mismo mapa $y$. Un PNG con paleta ya
        guarda los números; un PNG de colores necesita la tabla; los RLE de COCO se pintan uno por uno. Un color que no
        está en la tabla se vuelve 255, que la pérdida salta: nunca fondo, porque eso sería inventar una anotación.
        """,
        en=r"""
        ## The idea

        A pair is $(x, y)$: an image $x$ of $H \times W \times 3$ and a map $y$ of $H \times W$ with class numbers,
        $y_{ij} \in \{0, 1, \dots, K-1\} \cup \{255\}$. Both have one size, and what is done to one is done to the
        other. But they are not alike: the value of a pixel of $x$ is an *amount* of light, that of $y$ is a *name*.
        One computes with amounts; names are only compared. Nearly all mistakes of this lesson come from forgetting it.

        ## The smallest code: reading

        In 3.4 you saw the formats. To use them is to turn any of them into the same map $y$. A PNG with a palette
        already holds the numbers; a PNG of colours needs the table; the RLE of COCO are painted one by one. A colour
        that is not in the table becomes 255, which the loss leaves out: never background, for that would be to invent
        an annotation.
        """,
    )
    return


@app.cell
def _(calco, folder, np, number, segmenting, train):
    import io
    import json

    from PIL import Image

    from calco.annotations.geometry import Runs

    def of_colours(rgb, palette):
        """Colours HW3 => classes HW; 255 where the palette does not have the colour."""
        classes = np.full(rgb.shape[:2], 255, np.uint8)
        for index, (_, colour) in enumerate(palette):
            classes[(rgb == colour).all(-1)] = index
        return classes

    def of_objects(entries, info, numbers):
        """Objects of COCO => classes HW, the later ones over the earlier ones."""
        classes = np.zeros((info["height"], info["width"]), np.uint8)
        for each in entries:
            mask = Runs.of_string(each["segmentation"]["counts"], info["height"], info["width"]).mask()
            classes[mask] = numbers[each["category_id"]]
        return classes

    name = f"{train.names[number.value]}.png"
    coco = json.loads((folder / "annotations" / "train.json").read_text(encoding="utf-8"))
    info = next(each for each in coco["images"] if each["file_name"].endswith(name))
    entries = [each for each in coco["annotations"] if each["image_id"] == info["id"]]
    numbers = {each["id"]: segmenting.CLASSES.index(each["name"]) for each in coco["categories"]}

    painting = calco.read_image(folder / "masks" / "train" / name)
    truth = of_colours(painting, segmenting.PALETTE)
    indexed = Image.fromarray(truth)
    indexed.putpalette([value for _, colour in segmenting.PALETTE for value in colour])
    file = io.BytesIO()
    indexed.save(file, "PNG")
    again = Image.open(file)
    again.mode, again.size
    return Image, again, entries, info, io, numbers, of_colours, of_objects, painting, truth


@app.cell
def _(again, entries, info, np, numbers, of_colours, of_objects, painting, segmenting, t, truth):
    def _row(how, found):
        values = np.unique(found).tolist()
        return {
            t.pick("se lee con", "read by"): how,
            t.pick("valores", "values"): ", ".join(map(str, values)),
            t.pick("píxeles correctos", "pixels right"): f"{(found == truth).mean():.2%}",
        }

    _bgr = painting[..., ::-1]
    t.table(
        [
            _row(t.pick("PNG con paleta: `np.array(file)`", "PNG with a palette: `np.array(file)`"), np.array(again)),
            _row(t.pick("el mismo: `file.convert('L')`", "the same: `file.convert('L')`"), np.array(again.convert("L"))),
            _row(t.pick("PNG de colores y la tabla", "PNG of colours, and the table"), of_colours(painting, segmenting.PALETTE)),
            _row(t.pick("el mismo, en BGR (OpenCV)", "the same, in BGR (OpenCV)"), of_colours(_bgr, segmenting.PALETTE)),
            _row("RLE (COCO)", of_objects(entries, info, numbers)),
        ]
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Las lecturas malas no fallan: dan un mapa del tamaño correcto. `convert('L')` cambia el número de la clase por
        el *brillo* de su color. Los canales en otro orden dejan algunos colores sin clase y, si la paleta tiene también
        el color reflejado, cambian de clase otros. Por eso la primera línea después de leer es siempre
        `np.unique`.

        ## Cambiar de tamaño

        Una imagen se reduce promediando. Si se promedian los *números* de clase, la media de 1 (animal) y 3 (fruta) es
        2: un auto donde no hay ninguno. Y la media de 0 y 1 es 0,5, que no es nada. Hay dos maneras correctas:

        - **vecino más cercano**: cada píxel nuevo copia uno viejo;
        - **mayoría por área**: cada píxel nuevo $p$ toma la clase que más lo cubre,

        $$y'_p = \arg\max_k \frac{1}{|p|} \sum_{q \in p} [\,y_q = k\,].$$

        Lo que se promedia ahí no es $y$ sino $[\,y = k\,]$, un mapa de ceros y unos para cada clase: la codificación
        **one-hot**. La proporción de una clase sí es una cantidad.
        """,
        en=r"""
        The bad readings do not fail: they give a map of the right size. `convert('L')` puts the *lightness* of its
        colour in place of the class number. Channels in another order leave some colours without a class, and where the
        palette has the reversed colour too, they change the class of others. So the first line after reading is always `np.unique`.

        ## Changing the size

        An image is reduced by averaging. If the class *numbers* are averaged, the mean of 1 (animal) and 3 (fruit) is
        2: a car where there is none. And the mean of 0 and 1 is 0.5, which is nothing. There are two right ways:

        - **nearest neighbour**: each new pixel copies an old one;
        - **majority of the area**: each new pixel $p$ takes the class that covers most of it,

        $$y'_p = \arg\max_k \frac{1}{|p|} \sum_{q \in p} [\,y_q = k\,].$$

        What is averaged there is not $y$ but $[\,y = k\,]$, a map of zeros and ones for each class: the **one-hot**
        encoding. The share of a class is an amount.
        """,
    )
    return


@app.cell
def _(np):
    import cv2

    def bilinear(y, side):  # wrong: computes with names
        return cv2.resize(y.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)

    def nearest(y, side):
        return cv2.resize(y, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)

    def shares(y, side):
        """Share of each class in each new pixel => K, side, side."""
        one_hot = [(y == k).astype(np.float32) for k in range(4)]
        return np.stack([cv2.resize(each, (side, side), interpolation=cv2.INTER_AREA) for each in one_hot])

    def majority(y, side):
        return shares(y, side).argmax(0).astype(np.uint8)

    return bilinear, cv2, majority, nearest, shares


@app.cell
def _(t):
    reduced = t.slider(16, 160, step=8, value=32, es="lado nuevo, píxeles (antes 192)", en="new side, pixels (192 before)")  # fmt: skip
    reduced
    return (reduced,)


@app.cell
def _(bilinear, majority, nearest, np, reduced, segmenting, t, truth):
    _mean = bilinear(truth, reduced.value)
    _between = _mean % 1 != 0
    t.images(
        (
            segmenting.painted(np.rint(_mean).astype(np.uint8)),
            f"promedio, redondeado: el {_between.mean():.1%} eran valores que no son clase",
            f"average, rounded: {_between.mean():.1%} were values that are no class",
        ),
        (segmenting.painted(nearest(truth, reduced.value)), "vecino más cercano", "nearest neighbour"),
        (segmenting.painted(majority(truth, reduced.value)), "mayoría por área", "majority of the area"),
        width=190,
    )
    return


@app.cell
def _(bilinear, majority, nearest, np, reduced, segmenting, shares, t):
    full = segmenting.labelled("val", 192).classes

    def judged(method, side):
        """Averages over all masks of validation: what a way of changing the size makes of them."""
        values, invented, minority, agree = set(), [], [], np.zeros((4, 4), np.int64)
        for y in full:
            result, covered = method(y, side), shares(y, side)
            values |= set(np.unique(result).tolist())
            chosen = np.rint(result).astype(np.uint8)
            share = np.take_along_axis(covered, chosen[None].astype(np.int64), 0)[0]
            invented.append((share == 0).mean())
            minority.append((share < covered.max(0) - 1e-6).mean())
            agree += segmenting.confusion(y, nearest(chosen, 192))
        return len(values), float(np.mean(invented)), float(np.mean(minority)), float(segmenting.ious(agree)[1:].mean())

    methods = {
        "bilinear": (bilinear, t.pick("promedio de números (bilineal)", "average of numbers (bilinear)")),
        "nearest": (nearest, t.pick("vecino más cercano", "nearest neighbour")),
        "majority": (majority, t.pick("mayoría por área", "majority of the area")),
    }
    results = {each: judged(method, reduced.value) for each, (method, _) in methods.items()}
    t.table(
        [
            {
                t.pick(f"{len(full)} máscaras de validación", f"{len(full)} masks of validation"): methods[each][1],
                t.pick("valores distintos", "distinct values"): values,
                t.pick("clase que no está debajo", "class not underneath"): f"{invented:.2%}",
                t.pick("no es la que más cubre", "not the one that covers most"): f"{minority:.2%}",
                t.pick("IoU al volver a 192", "IoU back at 192"): f"{score:.3f}",
            }
            for each, (values, invented, minority, score) in results.items()
        ]
    )
    return (results,)


@app.cell(hide_code=True)
def _(reduced, results, t):
    _bad, _near, _most = (results[each] for each in ("bilinear", "nearest", "majority"))
    t(
        es=f"""
        Había 4 valores y el promedio deja {_bad[0]}. Al redondearlos quedan otra vez cuatro, así que el error ya no se ve
        en `np.unique`: queda un borde de clases que no estaban ahí ({_bad[1]:.2%} de los píxeles). Con las dos maneras
        correctas ese número es cero por construcción. La mayoría además acierta siempre con la clase que más cubre;
        el vecino copia uno solo de los píxeles del bloque y en los bordes se equivoca en el {_near[2]:.2%}. Esa diferencia se
        paga en la última columna: {_near[3]:.3f} contra {_most[3]:.3f} con lado {reduced.value}.

        ¿Entonces siempre la mayoría? No con objetos más finos que un píxel nuevo: un cable que cubre un tercio de cada
        píxel pierde *todas* las votaciones y desaparece; el vecino deja al menos puntos. Compruébalo en el ejercicio 2.

        ## Cargar con Calco

        Calco abre la carpeta y reconoce sola qué contiene. Una receta convierte cada muestra en un par:
        """,
        en=f"""
        There were 4 values, and the average leaves {_bad[0]}. Rounded they are four again, so `np.unique` no longer shows
        the mistake: a border of classes stays that were not there ({_bad[1]:.2%} of the pixels). With the two right
        ways that number is zero by construction. The majority also always has the class that covers most; the
        neighbour copies a single pixel of the block, and at borders is wrong in {_near[2]:.2%}. The difference is paid in
        the last column: {_near[3]:.3f} against {_most[3]:.3f} for a side of {reduced.value}.

        So always the majority? Not with objects thinner than a new pixel: a cable that covers a third of each pixel
        loses *all* the votes and vanishes; the neighbour leaves at least dots. Check it in exercise 2.

        ## Loading with Calco

        Calco opens the folder and recognises what it holds. A recipe turns each sample into a pair:
        """,
    )
    return


@app.cell
def _(calco, folder, segmenting):
    from calco.data.palettes import written_out
    from calco.data.recipe_config import SegmentConfig

    palette = SegmentConfig(palette=written_out(segmenting.PALETTE))
    source = calco.open_source(
        str(folder / "images" / "train"), calco.SourceConfig(annotations=str(folder / "annotations" / "train.json"))
    )
    recipe = calco.build_recipe(calco.RecipeConfig(recipe="segment", segment=palette), source.kind)
    source.summary()
    return palette, recipe, source


@app.cell(hide_code=True)
def _(t):
    t.source("calco.lessons.segmenting:labelled", "calco.lessons.segmenting:Labelled")
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        La entropía cruzada de PyTorch quiere los números y salta el 255 (`ignore_index=255`). Una pérdida de Dice o un
        promedio quieren one-hot, y ahí el 255 no cabe. Este es el tropiezo más común, y su remedio:
        """,
        en=r"""
        Cross-entropy in PyTorch wants the numbers, and leaves out 255 (`ignore_index=255`). A Dice loss or an average
        want one-hot, and there 255 has no place. This is the most common stumble, and its remedy:
        """,
    )
    return


@app.cell
def _(np, torch, truth):
    y = torch.from_numpy(truth.astype(np.int64))
    y[:8] = 255  # eight rows that nobody annotated
    try:
        torch.nn.functional.one_hot(y, 4)
    except RuntimeError as error:
        refusal = str(error)
    counted = y != 255
    one_hot = torch.nn.functional.one_hot(y.where(counted, 0), 4) * counted[..., None]
    refusal, tuple(one_hot.shape), one_hot.sum().item() == counted.sum().item()
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Pesos de las clases

        El fondo cubre casi todo, y en una suma por píxeles manda. La **frecuencia mediana** (Eigen y Fergus, 2015) le
        da a cada clase el peso

        $$w_k = \frac{\operatorname{mediana}_j f_j}{f_k}, \qquad
        f_k = \frac{\text{píxeles de la clase } k}{\text{píxeles de las imágenes en que aparece } k}.$$

        El denominador es el detalle: una clase rara pero grande cuando aparece no recibe un peso enorme. El exponente
        $\gamma$ en $w_k^\gamma$ va de no ponderar (0) a compensar del todo (1). Muévelo y mira qué parte de la pérdida le
        toca a cada clase cuando la red todavía da $1/4$ a todas:
        """,
        en=r"""
        ## Class weights

        The background covers nearly everything, and rules in a sum over pixels. **Median frequency** (Eigen and Fergus,
        2015) gives each class the weight

        $$w_k = \frac{\operatorname{median}_j f_j}{f_k}, \qquad
        f_k = \frac{\text{pixels of class } k}{\text{pixels of the images in which } k \text{ appears}}.$$

        The denominator is the point: a class that is rare, but large where it appears, gets no enormous weight. The
        exponent $\gamma$ in $w_k^\gamma$ goes from no weight (0) to full compensation (1). Move it, and see which part
        of the loss belongs to each class while the network still gives $1/4$ to all:
        """,
    )
    return


@app.cell
def _(t):
    gamma = t.slider(0, 1, step=0.1, value=1, es="exponente γ", en="exponent γ")
    gamma
    return (gamma,)


@app.cell
def _(gamma, np, segmenting, t, torch, train):
    pixels = np.bincount(train.classes.ravel(), minlength=4)
    appears = np.array([(train.classes == k).any((1, 2)).sum() for k in range(4)])
    frequency = pixels / (appears * train.classes[0].size)
    weights = (np.median(frequency) / frequency) ** gamma.value

    _logits = torch.zeros(1, 4, *train.classes.shape[1:])  # 1/4 for each class
    _loss = torch.nn.functional.cross_entropy(
        _logits.expand(len(train.names), -1, -1, -1), train.batch()[1], torch.tensor(weights, dtype=torch.float32),
        reduction="none",
    ).numpy()  # fmt: skip
    parts = np.array([_loss[train.classes == k].sum() for k in range(4)]) / _loss.sum()
    t.table(
        [
            {
                t.pick("clase", "class"): segmenting.CLASSES[k],
                t.pick("píxeles", "pixels"): f"{pixels[k] / pixels.sum():.1%}",
                "f": f"{frequency[k]:.3f}",
                t.pick("peso", "weight"): f"{weights[k]:.2f}",
                t.pick("parte de la pérdida", "part of the loss"): f"{parts[k]:.1%}",
            }
            for k in range(4)
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Pesar no es gratis. Con pesos, la red responde como si las clases raras fueran frecuentes: encuentra más y se
        equivoca más, y sus probabilidades ya no son frecuencias (en 3.9 aprendes a medirlo). Empieza sin pesos, mira la IoU por
        clase y pesa solo si una clase no aparece.

        ## Repartir: la fuga

        Entrenamos con *train*, elegimos con *val* y medimos **una vez** con *test*. La partición solo vale si ninguna
        imagen de *test* tiene una hermana en *train*. Hagamos treinta «videos»: la misma escena vista por una cámara que
        se mueve, seis fotogramas cada uno y con ruido. Y como «modelo», la peor trampa posible: uno que **no aprende
        nada**, busca la imagen de entrenamiento más parecida y copia su máscara.
        """,
        en=r"""
        Weights are not free. With them the network answers as if rare classes were frequent: it finds more and errs
        more, and its probabilities are no longer frequencies (in 3.9 you learn to measure it). Begin without weights, look at the IoU
        of each class, and weight only where a class does not show.

        ## Splitting: the leak

        We train on *train*, choose on *val*, and measure **once** on *test*. A split is worth something only if no
        image of *test* has a sister in *train*. Let us make thirty "videos": one scene each, seen by a camera that
        moves, six frames with noise. And as a "model" the worst possible cheat: one that **learns nothing**, looks for
        the most similar training image, and copies its mask.
        """,
    )
    return


@app.cell
def _(cv2, np, segmenting, train):
    def filmed(drift, videos=30, count=6, window=72):
        """Frames of a moving camera: images, classes, and the number of the video of each."""
        rng = np.random.default_rng(0)
        images, classes = [], []
        for video in range(videos):
            direction = rng.choice((-1, 1), 2)
            for frame in range(count):
                top, left = 12 + np.rint(direction * drift * (frame - (count - 1) / 2)).astype(int)
                cut = np.s_[top : top + window, left : left + window]
                seen = train.images[video][cut] + rng.normal(0, 3, (window, window, 3))
                images.append(seen.clip(0, 255).astype(np.uint8))
                classes.append(train.classes[video][cut])
        return np.stack(images), np.stack(classes), np.repeat(np.arange(videos), count)

    def copied(images, classes, tested):
        """Mean IoU of the model that copies the mask of the nearest training image."""
        small = np.stack([cv2.resize(each, (18, 18), interpolation=cv2.INTER_AREA) for each in images])
        small = small.reshape(len(images), -1).astype(np.float32)
        nearest_one = ((small[tested][:, None] - small[~tested]) ** 2).sum(-1).argmin(1)
        table = segmenting.confusion(classes[tested], classes[~tested][nearest_one])
        return float(np.nanmean(segmenting.ious(table)[1:]))

    def both_splits(drift):
        """Score of the copier where a fifth of the frames is tested: of single frames, and of whole videos."""
        images, classes, video = filmed(drift)
        rng = np.random.default_rng(1)
        by_frame = np.isin(np.arange(len(video)), rng.permutation(len(video))[: len(video) // 5])
        by_video = np.isin(video, rng.permutation(30)[:6])
        return copied(images, classes, by_frame), copied(images, classes, by_video)

    drifts = np.arange(0, 4.1, 0.5)
    leaks = np.array([both_splits(each) for each in drifts])
    return both_splits, drifts, filmed, leaks


@app.cell
def _(t):
    drift = t.slider(0, 4, step=0.5, value=1, es="movimiento por fotograma, píxeles", en="motion per frame, pixels")
    drift
    return (drift,)


@app.cell
def _(both_splits, drift, drifts, kit, leaks, t):
    _frame, _video = both_splits(drift.value)
    _figure, _axes = kit.plot()
    _axes.plot(drifts, leaks[:, 0], "o-", label=t.pick("al azar por fotograma", "random frames"))
    _axes.plot(drifts, leaks[:, 1], "o-", label=t.pick("por video", "by video"))
    _axes.axvline(drift.value, color="black", linestyle=":")
    _axes.set(
        xlabel=t.pick("movimiento por fotograma, píxeles", "motion per frame, pixels"), ylabel="IoU", ylim=(0, 1.05)
    )
    _axes.legend()
    t.image(
        _figure,
        es=f"IoU de un modelo que solo copia: {_frame:.2f} al azar, {_video:.2f} por video",
        en=f"IoU of a model that only copies: {_frame:.2f} with random frames, {_video:.2f} by video",
        width=540,
    )
    return


@app.cell(hide_code=True)
def _(leaks, t):
    t(
        es=f"""
        Con una cámara quieta, la copia saca {leaks[0, 0]:.2f}; por video, {leaks[0, 1]:.2f}. Los mismos datos, el mismo
        «modelo»: lo único que cambió es quién está a cada lado. Lo mismo pasa con ráfagas de fotos, parches de una misma
        imagen satelital, cortes de un mismo paciente o copias aumentadas antes de repartir.

        ## De punta a punta con `calco.check`

        No hay que adivinar quién es hermana de quién. Escribe doce de esos videos como una carpeta cualquiera, con dos
        fallos más plantados (una máscara de otro tamaño y una vacía), y pregúntale al revisor de Calco. Es lo mismo
        que `calco check CARPETA --input photo --target mask --recipe segment`.
        """,
        en=f"""
        With a camera that stands still, copying scores {leaks[0, 0]:.2f}; by video, {leaks[0, 1]:.2f}. The same data,
        the same "model": all that changed is who is on which side. It is the same with bursts of photographs, patches
        of one satellite image, slices of one patient, or copies that were augmented before the split.

        ## From end to end with `calco.check`

        Nobody has to guess who is whose sister. Write twelve of those videos as any folder, with two more faults
        planted (a mask of another size, and an empty one), and ask Calco's checker. It is the same as `calco check
        FOLDER --input photo --target mask --recipe segment`.
        """,
    )
    return


@app.cell
def _(Image, calco, filmed, palette, segmenting):
    import tempfile
    from pathlib import Path

    def checked_twice():
        """Check a folder of frames, let the check write its groups, and check again => two reports."""
        images, classes, video = filmed(1, videos=12, count=4)
        with tempfile.TemporaryDirectory() as place:
            for side in ("photo", "mask"):
                (Path(place) / side).mkdir()
            for i, (image, y) in enumerate(zip(images, classes, strict=True)):
                mask = Image.fromarray(segmenting.painted(y * (i != 30)))
                mask = mask.resize((72, 54), Image.Resampling.NEAREST) if i == 17 else mask
                Image.fromarray(image).save(f"{place}/photo/v{video[i]:02}f{i % 4}.png")
                mask.save(f"{place}/mask/v{video[i]:02}f{i % 4}.png")
            config = calco.CheckConfig(
                images=place, out=f"{place}/check", write_groups="beside", jobs=1,
                source=calco.SourceConfig(input="photo", target="mask"),
                recipe=calco.RecipeConfig(recipe="segment", segment=palette),
            )  # fmt: skip
            return [[(each.kind, each.severity, each.title) for each in calco.check(config).findings] for _ in "12"]

    first_check, second_check = checked_twice()
    return first_check, second_check


@app.cell
def _(first_check, second_check, t):
    t.table(
        [
            {
                t.pick("revisión", "check"): which,
                t.pick("hallazgo", "finding"): f"`{kind}`",
                t.pick("gravedad", "severity"): f"`{severity}`",
                t.pick("lo que dice", "what it says"): title,
            }
            for which, findings in (("1", first_check), (t.pick("2, con `groups.csv`", "2, with `groups.csv`"), second_check))
            for kind, severity, title in findings
        ]
    )  # fmt: skip
    return


@app.cell(hide_code=True)
def _(first_check, second_check, splits, t):
    _must = [sum(severity == "must" for _, severity, _ in each) for each in (first_check, second_check)]
    _grounds = {split: {name.split("@")[0] for name in data.names} for split, data in splits.items()}
    _shared = sum(len(_grounds[a] & _grounds[b]) for a, b in (("train", "val"), ("train", "test"), ("val", "test")))
    t(
        es=f"""
        Hallazgos que hay que corregir: {_must[0]} en la primera revisión, {_must[1]} en la segunda. La primera escribió
        `groups.csv`, que dice qué imágenes van juntas; desde entonces, todo lo que reparte en Calco (revisar, entrenar,
        evaluar) las deja del mismo lado. La máscara vacía es una nota, no un error: una imagen sin objetos es válida, y
        solo tú sabes si esta lo es.

        ¿Y nuestras escenas? Calco las reparte por su fondo: `006@0`, `006@1` y `006@2` están juntas. Fondos que
        comparten dos particiones: **{_shared}**. Pero hay una fuga que esto no evita: los **dibujos**. Los mismos 18
        animales, autos y frutas aparecen en las tres partes, girados y con otra luz. Nuestro puntaje dirá qué tan bien se
        recortan dibujos *conocidos* sobre fondos nuevos; no dirá nada de un animal nunca visto. Escribe siempre junto al
        puntaje qué quedó aparte.

        ## Ejercicios

        **1.** Tienes 30 videos de 100 fotogramas. ¿Cómo los repartes? ¿Cuántas imágenes *independientes* tiene tu
        prueba?
        """,
        en=f"""
        Findings that must be fixed: {_must[0]} in the first check, {_must[1]} in the second. The first one wrote
        `groups.csv`, which says what belongs together; from then on, all that splits in Calco (checking, training,
        evaluating) leaves it on one side. The empty mask is a note, not an error: an image without objects is valid,
        and only you know whether this one is.

        And our scenes? Calco splits them by their ground: `006@0`, `006@1` and `006@2` are together. Grounds that two
        splits share: **{_shared}**. But there is a leak that this does not prevent: the **drawings**. The same 18
        animals, cars and fruits appear in all three parts, turned and in other light. Our score will say how well
        *known* drawings are cut out on new grounds; it says nothing about an animal never seen. Always write beside a
        score what was kept apart.

        ## Exercises

        **1.** You have 30 videos of 100 frames. How do you split them? How many *independent* images does your test
        have?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Por video: por ejemplo 24, 3 y 3. La prueba tiene 300 fotogramas, pero se parece más a tres imágenes que a
        trescientas: los fotogramas de un video aciertan o fallan juntos. Para un puntaje firme hacen falta más videos,
        no más fotogramas.
        """,
        en="""
        By video: 24, 3 and 3, say. The test has 300 frames, but is nearer to three images than to three hundred: the
        frames of a video are right or wrong together. A firm score takes more videos, not more frames.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Dibuja un cable vertical de 1 píxel en un mapa de 192 × 192 y redúcelo a 48 con `majority` y con `nearest`.
        ¿Cuántas de las cuatro posiciones posibles de la columna dejan algo?
        """,
        en="""
        **2.** Draw a vertical cable of 1 pixel in a map of 192 × 192, and reduce it to 48 with `majority` and with
        `nearest`. For how many of the four possible places of the column does something stay?
        """,
    )
    return


@app.cell(hide_code=True)
def _(majority, nearest, np, t):
    def _left(method):
        found = 0
        for column in range(96, 100):
            cable = np.zeros((192, 192), np.uint8)
            cable[:, column] = 1
            found += bool(method(cable, 48).any())
        return found

    t.solution(
        es=f"""
        Con la mayoría, {_left(majority)}: el cable cubre un cuarto de cada píxel nuevo y siempre pierde. Con el vecino,
        {_left(nearest)}: se copia una columna de cada cuatro, así que depende de la suerte. Ninguna lo conserva bien. Si lo
        fino importa, entrena con más resolución, o reduce con «cualquier píxel» (un máximo) para esa clase.
        """,
        en=f"""
        With the majority, {_left(majority)}: the cable covers a quarter of each new pixel, and always loses. With the
        neighbour, {_left(nearest)}: one column of four is copied, so it is a matter of luck. Neither keeps it well. If
        what is thin matters, train at a higher resolution, or reduce by "any pixel" (a maximum) for that class.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **3.** ¿El promedio bilineal inventaría clases con solo dos, 0 y 1? ¿Y si las clases vecinas fueran 0 y 255?
        """,
        en="""
        **3.** Would the bilinear average invent classes if there were only two, 0 and 1? And if the neighbours were 0 and
        255?
        """,
    )
    return


@app.cell(hide_code=True)
def _(bilinear, np, t):
    _half = np.triu(np.full((192, 192), 255, np.uint8))  # a diagonal border
    _values = np.unique(np.rint(bilinear(_half, 80))).astype(int).tolist()
    t.solution(
        es=f"""
        Con 0 y 1, redondear es votar: da lo mismo que un umbral de 0,5 y no inventa nada. Por eso el error pasa
        inadvertido en conjuntos binarios y aparece con la tercera clase. Entre 0 y 255 es peor que nunca: un mapa de dos
        valores, con un borde diagonal y reducido a 80, contiene {_values}; los del medio son números de clase cualesquiera, o quedan fuera de
        rango.
        """,
        en=f"""
        With 0 and 1, rounding is voting: it equals a threshold of 0.5, and invents nothing. So the mistake goes unnoticed
        in binary sets, and shows with the third class. Between 0 and 255 it is at its worst: a map of two values with
        a diagonal border, reduced to 80, holds {_values}; those between are numbers of any class, or out of range.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **4.** Con la receta, ¿qué devuelve `recipe(source.load(source.items[0]), np.random.default_rng(0))`? Pruébalo y
        compara los tamaños.
        """,
        en="""
        **4.** What does `recipe(source.load(source.items[0]), np.random.default_rng(0))` return? Try it, and compare the
        sizes.
        """,
    )
    return


@app.cell(hide_code=True)
def _(np, recipe, source, t):
    _pair = recipe(source.load(source.items[0]), np.random.default_rng(0))
    t.solution(
        es=f"""
        Un `Pair`: entrada {_pair.input.shape} y objetivo {_pair.target.shape}, del mismo alto y ancho; el objetivo es la
        máscara pintada.
        """,
        en=f"""
        A `Pair`: input {_pair.input.shape} and target {_pair.target.shape}, of one height and width; the target is the
        painted mask.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
