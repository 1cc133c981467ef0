import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.6 · Ver el conjunto de datos · Looking at the data set",
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
        "3.6",
        es="""
        Antes de entrenar, mira. Baja la opacidad hasta que el borde del dibujo aparezca bajo el de la máscara: ¿coinciden?
        Cinco minutos de mirar ahorran horas de entrenar. Después plantaremos cinco fallos en los datos, para saber qué
        prueba encuentra cada uno y cuáles no encuentra ninguna.
    """,
        en="""
        Look before you train. Lower the opacity until the border of the drawing shows below that of the mask: do they
        agree? Five minutes of looking save hours of training. Then we will plant five faults in the data, to learn which
        check finds each of them, and which ones none finds.
    """,
    )
    return (t,)


@app.cell
def _(kit, t):
    alpha = t.slider(0, 100, value=55, step=5, es="opacidad de la máscara, %", en="opacity of the mask, %")
    page = t.slider(0, 13, value=0, es="página", en="page")
    kit.mo.hstack([alpha, page], justify="start", wrap=True)
    return alpha, page


@app.cell
def _():
    import numpy as np

    from calco.lessons import segmenting
    from calco.lessons.scenes import scenes

    folder = scenes()
    data = segmenting.labelled("train", 192)

    def overlay(image, classes, opacity):
        """The mask in the colours of its palette over the image, where it is not background."""
        shown = image.astype(float)
        objects = classes > 0
        shown[objects] = (1 - opacity) * shown[objects] + opacity * segmenting.painted(classes)[objects]
        return shown.astype(np.uint8)

    return data, folder, np, overlay, segmenting


@app.cell
def _(alpha, data, kit, np, overlay, page, segmenting, t):
    from matplotlib.patches import Patch

    _chosen = range(page.value * 8, page.value * 8 + 8)
    _tiles = [overlay(data.images[i], data.classes[i], alpha.value / 100) for i in _chosen]
    _figure, _axes = kit.plot(7, 4)
    _axes.imshow(np.vstack([np.hstack(_tiles[:4]), np.hstack(_tiles[4:])]))
    _axes.set_axis_off()
    _legend = [
        Patch(facecolor=np.array(colour) / 255, edgecolor="black", label=name)
        for name, colour in segmenting.PALETTE[1:]
    ]
    _axes.legend(handles=_legend, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, frameon=False)
    t.image(
        _figure,
        es=f"Escenas {_chosen[0]} a {_chosen[-1]} con su máscara encima (OpenMoji, CC BY-SA 4.0)",
        en=f"Scenes {_chosen[0]} to {_chosen[-1]} with their masks over them (OpenMoji, CC BY-SA 4.0)",
        width=640,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        ## Qué se busca

        Superponer la máscara es la prueba más barata y la mejor: muestra máscaras corridas, clases cambiadas, objetos sin
        anotar. Siempre con **leyenda**: sin ella, una clase cambiada por otra se ve igual de bonita. Pero nadie mira
        diez mil imágenes. Por eso se mira una muestra y se cuenta el resto:

        - la **frecuencia** de cada clase en $N$ imágenes, $f_k = \frac{1}{N H W} \sum_{n, i, j} [\,y_{n,i,j} = k\,]$;
        - el **lugar**: el mapa $m_k(i, j) = \frac{1}{N} \sum_n [\,y_{n,i,j} = k\,]$;
        - el **tamaño** de cada componente conexa, $A$, y el largo de su **borde**, $P$.

        ## Cuánto hay de cada clase
        """,
        en=r"""
        ## What to look for

        To lay the mask over the image is the cheapest check and the best: it shows masks that are shifted, exchanged
        classes, objects without annotation. Always with a **legend**: without it, a class exchanged for another looks just
        as pretty. But nobody looks at ten thousand images. So one looks at a sample, and counts the rest:

        - the **frequency** of each class in $N$ images, $f_k = \frac{1}{N H W} \sum_{n, i, j} [\,y_{n,i,j} = k\,]$;
        - the **place**: the map $m_k(i, j) = \frac{1}{N} \sum_n [\,y_{n,i,j} = k\,]$;
        - the **size** of each connected component, $A$, and the length of its **border**, $P$.

        ## How much there is of each class
        """,
    )
    return


@app.cell
def _(data, kit, np, segmenting, t):
    share = np.bincount(data.classes.ravel(), minlength=4) / data.classes.size
    occurs = np.array([(data.classes == k).any((1, 2)).mean() for k in range(4)])
    _colours = [np.array(colour) / 255 for _, colour in segmenting.PALETTE]
    _figure, (_left, _right) = kit.plot(7.4, 2.8, columns=2)
    for _axis, _values, _title in (
        (_left, share, t.pick("parte de los píxeles", "share of the pixels")),
        (_right, occurs, t.pick("parte de las imágenes", "share of the images")),
    ):
        _axis.bar(segmenting.CLASSES, _values, color=_colours, edgecolor="black")
        _axis.set(title=_title, ylim=(0, 1.1))
        for _k, _value in enumerate(_values):
            _axis.text(_k, _value + 0.02, f"{_value:.0%}", ha="center")
    t.image(
        _figure,
        es=f"La clase más rara cubre {share[0] / share.min():.0f} veces menos píxeles que el fondo",
        en=f"The rarest class covers {share[0] / share.min():.0f} times fewer pixels than the background",
        width=680,
    )
    return (share,)


@app.cell(hide_code=True)
def _(share, t):
    t(
        es=rf"""
        El fondo es el {share[0]:.1%} de los píxeles. Una red que responde «fondo» en todas partes tiene esa
        **exactitud**, y no ha aprendido nada. La cuenta, con $f_0$ la parte del fondo y una red que encuentra la parte
        $r$ de los píxeles de cada objeto y nunca se equivoca en el fondo:

        $$\text{{exactitud}} = f_0 + (1 - f_0)\,r, \qquad \text{{IoU}}_k = r.$$

        Con $r = 0$ la exactitud ya es {share[0]:.3f}; con $r = 1/2$ es la media de {share[0]:.3f} y 1, {(share[0] + 1) / 2:.3f},
        aunque falte la mitad de cada objeto. Mueve $r$: la curva es la fórmula y los puntos, una cuenta sobre las máscaras de
        verdad, a las que se les quita una parte de los píxeles.
        """,
        en=rf"""
        The background is {share[0]:.1%} of the pixels. A network that answers "background" everywhere has that
        **accuracy**, and has learned nothing. The sum, with $f_0$ the share of the background, and a network that finds
        the part $r$ of the pixels of each object and is never wrong in the background:

        $$\text{{accuracy}} = f_0 + (1 - f_0)\,r, \qquad \text{{IoU}}_k = r.$$

        With $r = 0$ the accuracy is {share[0]:.3f} already; with $r = 1/2$ it is the mean of {share[0]:.3f} and 1,
        {(share[0] + 1) / 2:.3f}, though half of each object is missing. Move $r$: the curve is the formula, the dots are
        counted on the real masks, from which a part of the pixels is taken away.
        """,
    )
    return


@app.cell
def _(t):
    recall = t.slider(0, 1, step=0.05, value=0.5, es="parte encontrada r", en="part that is found r")
    recall
    return (recall,)


@app.cell
def _(data, kit, np, recall, segmenting, share, t):
    _kept = np.random.default_rng(0).random(data.classes.shape) < recall.value
    _table = segmenting.confusion(data.classes, data.classes * _kept)
    _accuracy = np.trace(_table) / _table.sum()
    _scores = segmenting.ious(_table)
    _r = np.linspace(0, 1, 50)
    _figure, _axes = kit.plot()
    _axes.plot(_r, share[0] + (1 - share[0]) * _r, label=t.pick("exactitud", "accuracy"))
    _axes.plot(_r, _r, label=t.pick("IoU de los objetos", "IoU of the objects"))
    _axes.plot([recall.value] * 2, [_accuracy, _scores[1:].mean()], "o", color="black")
    _axes.set(xlabel="r", ylim=(0, 1.05))
    _axes.legend()
    t.image(
        _figure,
        es=f"Contado: exactitud {_accuracy:.3f}, IoU media de los objetos {_scores[1:].mean():.3f}, "
        f"IoU media con el fondo {_scores.mean():.3f}",
        en=f"Counted: accuracy {_accuracy:.3f}, mean IoU of the objects {_scores[1:].mean():.3f}, "
        f"mean IoU with the background {_scores.mean():.3f}",
        width=540,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        La tercera cifra es otra trampa frecuente: incluir el fondo en la IoU media la sube. Al leer un puntaje ajeno,
        pregunta siempre si el fondo cuenta.

        ## Dónde están
        """,
        en="""
        The third figure is another frequent trap: to include the background raises the mean IoU. When you read
        someone's score, always ask whether the background counts.

        ## Where they are
        """,
    )
    return


@app.cell
def _(data, kit, np, segmenting, t):
    where = np.stack([(data.classes == k).mean(0) for k in range(1, 4)])
    _figure, _axes = kit.plot(7, 2.5, columns=3)
    for _axis, _plane, _name in zip(_axes, where, segmenting.CLASSES[1:], strict=True):
        _drawn = _axis.imshow(_plane, vmin=0, vmax=where.max(), cmap="magma")
        _axis.set(title=_name, xticks=[], yticks=[])
        _axis.grid(visible=False)
    _figure.colorbar(_drawn, ax=_axes, shrink=0.8)
    t.image(
        _figure,
        es=f"Parte de las imágenes en que cada píxel es de la clase; máximo {where.max():.0%}",
        en=f"Share of the images in which each pixel has the class; highest {where.max():.0%}",
        width=640,
    )
    return (where,)


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Los objetos evitan el borde (se pegan enteros) y no prefieren ningún lugar: la red no podrá acertar por la
        posición. En fotos reales el cielo está arriba y la calle abajo, y una red lo aprende, para bien y para mal. Este
        mapa es también la línea base más simple (ejercicio 1).

        ## Tamaño y borde

        Una **componente conexa** es un grupo de píxeles de una clase que se tocan. No siempre es un objeto: dos autos
        pegados son una, y un animal tapado por la mitad puede ser dos. Mueve el límite: ¿qué parte es más pequeña?
        """,
        en="""
        Objects avoid the border (they are pasted whole) and prefer no place: the network cannot be right by position. In
        real photographs the sky is above and the street below, and a network learns it, for better and worse. This map
        is also the simplest baseline (exercise 1).

        ## Size and border

        A **connected component** is a group of pixels of one class that touch. It is not always an object: two cars that
        touch are one, and an animal half covered may be two. Move the limit: which share is smaller?
        """,
    )
    return


@app.cell
def _(data, folder, np):
    import json

    import cv2

    CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)

    def inside(mask, width=1):
        """The mask without its outer `width` pixels."""
        framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        return cv2.erode(framed, CROSS, iterations=width)[1:-1, 1:-1] > 0

    def components(classes):
        """Class and mask of each connected component of a map."""
        for k in range(1, 4):
            count, labels = cv2.connectedComponents((classes == k).astype(np.uint8))
            for i in range(1, count):
                yield k, labels == i

    parts = [(k, mask) for classes in data.classes for k, mask in components(classes)]
    areas = np.array([mask.sum() for _, mask in parts])
    borders = np.array([(mask & ~inside(mask)).sum() for _, mask in parts])
    coco = json.loads((folder / "annotations" / "train.json").read_text(encoding="utf-8"))
    len(parts), len(coco["annotations"])
    return areas, borders, coco, cv2, inside, parts


@app.cell
def _(t):
    limit = t.slider(100, 6000, step=100, value=1000, es="área, píxeles", en="area, pixels")
    limit
    return (limit,)


@app.cell
def _(areas, coco, kit, limit, np, t):
    _small = (areas < limit.value).mean()
    _bins = np.geomspace(max(areas.min(), 1), areas.max() + 1, 30)
    _figure, _axes = kit.plot()
    _axes.hist(areas, bins=_bins, alpha=0.7, label=t.pick("componentes", "components"))
    _objects = [each["area"] for each in coco["annotations"]]
    _axes.hist(_objects, bins=_bins, histtype="step", color="black", label=t.pick("objetos (COCO)", "objects (COCO)"))
    _axes.axvline(limit.value, color="tomato", linestyle=":")
    _axes.set(xscale="log", xlabel=t.pick("área, píxeles de 192 × 192", "area, pixels of 192 × 192"))
    _axes.legend(loc="upper left")
    t.image(
        _figure,
        es=f"{len(areas)} componentes y {len(_objects)} objetos; el {_small:.0%} de las componentes tiene menos de "
        f"{limit.value} píxeles, y {(areas < 30).sum()} tienen menos de 30",
        en=f"{len(areas)} components and {len(_objects)} objects; {_small:.0%} of the components have fewer than "
        f"{limit.value} pixels, and {(areas < 30).sum()} fewer than 30",
        width=540,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        Las componentes diminutas son sobras: el pedazo de oreja que asoma detrás de un camión. En datos anotados a mano
        suelen ser clics equivocados. Míralas antes de decidir.

        ¿Por qué importa el borde? Porque es donde se discute. Llama $P$ al número de píxeles de un objeto que tocan algo
        distinto. Si una máscara pierde justo esa capa, lo que queda son $A - P$ píxeles, todos dentro del original:

        $$\text{IoU} = \frac{A - P}{A} = 1 - \frac{P}{A}.$$

        El cociente $P/A$ dice, antes de entrenar, cuánto cuesta un píxel de borde. Ensancha el error:
        """,
        en=r"""
        Tiny components are remains: the piece of an ear that shows behind a lorry. In data annotated by hand they often
        are clicks by mistake. Look at them before you decide.

        Why does the border matter? Because it is where people disagree. Let $P$ be the number of pixels of an object that
        touch something else. If a mask loses just that layer, $A - P$ pixels are left, all of them inside the original:

        $$\text{IoU} = \frac{A - P}{A} = 1 - \frac{P}{A}.$$

        The ratio $P/A$ says, before any training, what one pixel of border costs. Widen the error:
        """,
    )
    return


@app.cell
def _(t):
    error = t.slider(1, 6, value=1, es="capas de borde perdidas, píxeles", en="layers of border lost, pixels")
    error
    return (error,)


@app.cell
def _(areas, borders, error, inside, kit, np, parts, t):
    left = np.array([inside(mask, error.value).sum() for _, mask in parts]) / areas
    _figure, _axes = kit.plot()
    _axes.semilogx(
        areas, left, ".", alpha=0.6, label=t.pick(f"{error.value} px, medido", f"{error.value} px, measured")
    )
    _order = np.argsort(areas)
    _axes.semilogx(areas[_order], (1 - borders / areas)[_order], ".", color="grey", markersize=2, label="1 − P/A")
    _axes.set(xlabel=t.pick("área, píxeles", "area, pixels"), ylabel="IoU", ylim=(-0.05, 1.05))
    _axes.legend()
    _quarter = areas <= np.quantile(areas, 0.25)
    t.image(
        _figure,
        es=f"IoU media: {left[_quarter].mean():.2f} en el cuarto más pequeño, {left[~_quarter].mean():.2f} en el resto",
        en=f"Mean IoU: {left[_quarter].mean():.2f} in the smallest quarter, {left[~_quarter].mean():.2f} in the rest",
        width=540,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Cinco fallos plantados

        Ahora la prueba de las pruebas. Tomamos cuarenta escenas y estropeamos cinco máscaras: una **corrida** (tú eliges
        cuánto), una con dos **clases cambiadas**, una de **otro tamaño**, una a la que le **falta un objeto** y una que
        pasó por **JPEG**. Luego aplicamos seis revisiones cortas y el revisor de Calco:

        1. **tamaño**: ¿imagen y máscara miden lo mismo?
        2. **colores**: ¿todos están en la paleta?
        3. **bordes**: ¿en qué desplazamiento coinciden mejor el borde de la máscara y los bordes de la imagen? Debe ser 0.
        4. **clases**: ¿las clases de la máscara son las de la lista de objetos?
        5. **cajas**: ¿hay en cada caja anotada suficientes píxeles de su clase?
        6. **frecuencia**: ¿la parte de fondo es rara comparada con las demás imágenes (más de tres desviaciones)?
        """,
        en="""
        ## Five planted faults

        Now the test of the tests. We take forty scenes, and spoil five masks: one is **shifted** (you choose how far), one
        has two **classes exchanged**, one has **another size**, one **misses an object**, and one went through **JPEG**.
        Then we apply six short checks, and Calco's checker:

        1. **size**: do image and mask have the same size?
        2. **colours**: are all of them in the palette?
        3. **borders**: at which shift do the border of the mask and the edges of the image fit best? It should be 0.
        4. **classes**: are the classes of the mask those of the list of objects?
        5. **boxes**: does each annotated box hold enough pixels of its class?
        6. **frequency**: is the share of background odd beside the other images (beyond three deviations)?
        """,
    )
    return


@app.cell
def _(coco, cv2, data, folder, np, segmenting):
    import io

    from PIL import Image

    import calco

    COLOURS = np.array([colour for _, colour in segmenting.PALETTE], np.uint8)
    of_category = {each["id"]: segmenting.CLASSES.index(each["name"]) for each in coco["categories"]}
    objects = {}  # of each scene: class, box xywh and area of its objects
    for _image in coco["images"]:
        objects[_image["file_name"].split("/")[-1].removesuffix(".png")] = [
            (of_category[each["category_id"]], [round(v) for v in each["bbox"]], each["area"])
            for each in coco["annotations"]
            if each["image_id"] == _image["id"]
        ]
    some = data.names[:40]
    with_two = [name for name in some if len({k for k, *_ in objects[name]} & {1, 2}) == 1 and len(objects[name]) > 1]

    def jpeg(mask, quality=75):
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "JPEG", quality=quality)
        return np.array(Image.open(file))

    def exchanged(mask):
        result = mask.copy()
        for a, b in ((1, 2), (2, 1)):
            result[(mask == COLOURS[a]).all(-1)] = COLOURS[b]
        return result

    def without(mask, name):
        k, (x, y, w, h), _ = objects[name][0]
        result = mask.copy()
        box = result[y : y + h, x : x + w]
        box[(box == COLOURS[k]).all(-1)] = COLOURS[0]
        return result

    def planted(shift):
        """Images, masks with five faults, and the name of the scene of each fault."""
        images = {name: image for name, image in zip(data.names, data.images, strict=True) if name in some}
        masks = {name: calco.read_image(folder / "masks" / "train" / f"{name}.png") for name in some}
        shifted, swapped, sized, missing, lossy = with_two[:5]
        masks[shifted] = np.roll(masks[shifted], (shift, shift), (0, 1))
        masks[swapped] = exchanged(masks[swapped])
        masks[sized] = cv2.resize(masks[sized], (192, 160), interpolation=cv2.INTER_NEAREST)
        masks[missing] = without(masks[missing], missing)
        masks[lossy] = jpeg(masks[lossy])
        return images, masks, dict(shifted=shifted, swapped=swapped, sized=sized, missing=missing, lossy=lossy)

    return COLOURS, Image, calco, objects, planted


@app.cell
def _(COLOURS, cv2, np, objects):
    def nearest_class(mask):
        return ((mask[..., None, :].astype(int) - COLOURS) ** 2).sum(-1).argmin(-1)

    def best_shift(image, classes, strongest=150):
        """The shift of a mask, at most 24 pixels, at which its border lies on the strongest edges of the image."""
        soft = cv2.GaussianBlur(image, (0, 0), 1).astype(np.float32)
        edges = np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)).max(-1)
        edges = np.minimum(edges, strongest)  # lines inside a drawing are stronger than its outline, and would win
        objects_only = (classes > 0).astype(np.uint8)
        border = cv2.morphologyEx(objects_only, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
        fit = np.fft.ifft2(np.fft.fft2(edges) * np.conj(np.fft.fft2(border))).real  # of every shift at once
        near = np.roll(fit, (24, 24), (0, 1))[:49, :49]
        return np.array(np.unravel_index(near.argmax(), near.shape)) - 24

    def short_checks(images, masks):
        """What each check suspects => sets of names."""
        read = {name: nearest_class(mask) for name, mask in masks.items()}
        fits = {name: read[name].shape == images[name].shape[:2] for name in images}
        empty = {name: (y == 0).mean() for name, y in read.items()}
        middle, spread = np.mean(list(empty.values())), np.std(list(empty.values()))

        def box_is_short(name):
            return any(
                (read[name][y : y + h, x : x + w] == k).sum() < 0.8 * area for k, (x, y, w, h), area in objects[name]
            )

        suspects = {
            "size": lambda name: not fits[name],
            "colours": lambda name: not (masks[name][:, :, None] == COLOURS).all(-1).any(-1).all(),
            "borders": lambda name: fits[name] and np.abs(best_shift(images[name], read[name])).max() > 1,
            "classes": lambda name: set(np.unique(read[name]).tolist()) - {0} != {k for k, *_ in objects[name]},
            "boxes": box_is_short,
            "frequency": lambda name: abs(empty[name] - middle) > 3 * spread,
        }
        return {check: {name for name in masks if odd(name)} for check, odd in suspects.items()}

    return best_shift, nearest_class, short_checks


@app.cell
def _(Image, calco, segmenting):
    import tempfile
    from pathlib import Path

    from calco.data.palettes import written_out
    from calco.data.recipe_config import SegmentConfig

    def calcos_check(images, masks):
        """What Calco's checker suspects, from "must" to "should"."""
        with tempfile.TemporaryDirectory() as place:
            for side, files in (("photo", images), ("mask", masks)):
                (Path(place) / side).mkdir()
                for name, image in files.items():
                    Image.fromarray(image).save(f"{place}/{side}/{name.replace('@', '_')}.png")
            config = calco.CheckConfig(
                images=place, out=f"{place}/check", jobs=1,
                source=calco.SourceConfig(input="photo", target="mask"),
                recipe=calco.RecipeConfig(
                    recipe="segment", segment=SegmentConfig(palette=written_out(segmenting.PALETTE))
                ),
            )  # fmt: skip
            findings = [each for each in calco.check(config).findings if each.severity != "note"]
            return {key.replace("_", "@") for each in findings for case in each.cases for key in case.keys}

    return (calcos_check,)


@app.cell
def _(t):
    planted_shift = t.slider(0, 20, value=8, es="corrimiento plantado, píxeles", en="planted shift, pixels")
    planted_shift
    return (planted_shift,)


@app.cell
def _(calcos_check, planted, planted_shift, short_checks, t):
    images, masks, faults = planted(planted_shift.value)
    found_by = short_checks(images, masks) | {"calco": calcos_check(images, masks)}
    _names = {
        "size": t.pick("tamaño", "size"),
        "colours": t.pick("colores", "colours"),
        "borders": t.pick("bordes", "borders"),
        "classes": t.pick("clases", "classes"),
        "boxes": t.pick("cajas", "boxes"),
        "frequency": t.pick("frecuencia", "frequency"),
        "calco": "`calco.check`",
    }
    _faults = {
        "shifted": t.pick("corrida", "shifted"),
        "swapped": t.pick("clases cambiadas", "classes exchanged"),
        "sized": t.pick("otro tamaño", "other size"),
        "missing": t.pick("falta un objeto", "object missing"),
        "lossy": "JPEG",
    }
    t.table(
        [
            {t.pick("revisión", "check"): _names[check]}
            | {title: "✓" if faults[fault] in suspects else "·" for fault, title in _faults.items()}
            | {t.pick("falsas alarmas, de 35", "false alarms, of 35"): len(suspects - set(faults.values()))}
            for check, suspects in found_by.items()
        ]
    )
    return faults, found_by, images, masks


@app.cell
def _(faults, images, masks, nearest_class, overlay, t):
    _titles = {
        "shifted": ("corrida", "shifted"),
        "swapped": ("clases cambiadas", "classes exchanged"),
        "missing": ("falta un objeto", "object missing"),
    }
    _shown = {each: overlay(images[faults[each]], nearest_class(masks[faults[each]]), 0.6) for each in _titles}
    t.images(*[(_shown[each], *titles) for each, titles in _titles.items()], width=190)
    return


@app.cell
def _(best_shift, data, faults, np, objects, t):
    def seen_from(odd):
        """The smallest shift of the first fault that a check sees; 0 if none up to 20."""
        at = data.names.index(faults["shifted"])
        moved = {shift: np.roll(data.classes[at], (shift, shift), (0, 1)) for shift in range(1, 21)}
        return min((shift for shift, y in moved.items() if odd(data.images[at], y)), default=0)

    unclipped = sum(
        np.abs(best_shift(image, y, np.inf)).max() > 1
        for image, y in zip(data.images[:40], data.classes[:40], strict=True)
    )
    by_borders = seen_from(lambda image, y: np.abs(best_shift(image, y)).max() > 1)
    by_boxes = seen_from(
        lambda _, y: any(
            (y[top : top + h, left : left + w] == k).sum() < 0.8 * area
            for k, (left, top, w, h), area in objects[faults["shifted"]]
        )
    )
    t.table(
        [
            {
                t.pick("revisión", "check"): name,
                t.pick("ve un corrimiento desde", "sees a shift from"): f"{least} px",
            }
            for name, least in ((t.pick("bordes", "borders"), by_borders), (t.pick("cajas", "boxes"), by_boxes))
        ]
    )
    return (unclipped,)


@app.cell(hide_code=True)
def _(faults, found_by, t, unclipped):
    _never = [check for check, suspects in found_by.items() if not suspects & set(faults.values())]
    _each = {fault: sum(name in suspects for suspects in found_by.values()) for fault, name in faults.items()}
    t(
        es=f"""
        Lee la tabla por columnas. El tamaño y el JPEG se ven en el archivo mismo: bastan dos líneas. Lo demás necesita
        **comparar con otra cosa**: los bordes, con la imagen; las clases y las cajas, con la lista de objetos. Sin una
        segunda fuente, un objeto que falta o una clase cambiada son máscaras perfectamente válidas, y ni las estadísticas ni
        un revisor automático pueden saberlo. Las ven tus ojos, con la leyenda al lado, o una red ya entrenada que no está de
        acuerdo (ejercicio 4). De las {len(found_by)} revisiones, el fallo más
        esquivo aparece en {min(_each.values())}; las que no encontraron nada son {len(_never)}. La frecuencia, por ejemplo,
        solo ve lo extremo: en estas escenas el fondo varía tanto que un objeto más o menos es normal.

        Y lee también la última columna: una revisión que da falsas alarmas se deja de mirar. La de bordes, sin limitar los
        bordes más fuertes, sigue las líneas de dentro de los dibujos y acusa a {unclipped} de las 40 máscaras sanas. Con el
        límite tampoco mide lo que promete: la máscara a la que le falta un objeto la acusa porque encaja mejor sobre el objeto
        olvidado. Baja el corrimiento y mira cuándo deja de verse; la segunda tabla dice desde dónde ve cada una esa máscara.

        El revisor de Calco también compara bordes, pero con más cautela: acusa a una sola máscara si las demás están en su
        lugar y ella encaja claramente mejor en otro. Por eso calla hasta 3 píxeles, no mira más allá de 15, y no acusa a la
        máscara a la que le falta un objeto. Si *todas* están corridas, le bastan 2 píxeles hacia abajo y a la derecha: cuarenta
        pares que coinciden dicen más que uno.

        ¿Por qué el revisor de Calco no se queja del JPEG? Porque al leer le da a cada píxel la clase del color
        más cercano y solo avisa si hay *áreas* de color desconocido: con calidad 75 hay apenas un borde de ruido. Algunos
        píxeles de ese borde cambian de clase; los contaste en 3.4.

        ## Ejercicios

        **1.** ¿Qué IoU da la línea base «cada píxel, su clase más frecuente según el mapa promedio»?
    """,
        en=f"""
        Read the table by columns. The size and the JPEG show in the file itself: two lines suffice. The rest takes a
        **comparison with something else**: the borders with the image, the classes and the boxes with the list of objects.
        Without a second source, a missing object or an exchanged class are perfectly valid masks, and neither statistics nor
        an automatic checker can know. Your eyes see them, with the legend beside, or a trained network that disagrees
        (exercise 4). Of the {len(found_by)} checks, the most evasive fault shows in {min(_each.values())}; those that
        found nothing are {len(_never)}. Frequency, for one, sees only what is extreme: in these scenes the background varies
        so much that an object more or less is normal.

        And read the last column too: a check with false alarms is soon ignored. That of borders, without a limit to
        the strongest edges, follows the lines inside the drawings, and accuses {unclipped} of the 40 healthy masks. With the
        limit it does not measure what it promises either: it accuses the mask that misses an object because it fits better
        on the forgotten one. Lower the shift, and see when it vanishes; the second table says from where each sees that mask.

        Calco's checker compares borders too, but with more caution: it accuses a single mask if the others lie in place
        and this one fits clearly better elsewhere. So it is silent up to 3 pixels, does not look beyond 15, and does not
        accuse the mask that misses an object. If *all* are shifted, 2 pixels down and right suffice: forty pairs that agree
        say more than one.

        Why does Calco's checker not complain about the JPEG? Because in reading it gives each pixel the class of the
        nearest colour, and warns only of *areas* of unknown colour: with quality 75 there is hardly more than a noisy border.
        Some pixels of that border change class; you counted them in 3.4.

        ## Exercises

        **1.** What is the IoU of the baseline "for each pixel, its most frequent class in the mean map"?
    """,
    )
    return


@app.cell(hide_code=True)
def _(data, np, segmenting, t, where):
    _most = np.argmax(np.concatenate([1 - where.sum(0, keepdims=True), where]), 0)
    _table = segmenting.confusion(data.classes, np.broadcast_to(_most, data.classes.shape))
    _scores = segmenting.ious(_table)
    t.solution(
        es=f"""
        El fondo gana en el {(_most == 0).mean():.0%} de los lugares. La exactitud es {np.trace(_table) / _table.sum():.3f} y
        la IoU media de las tres clases, {np.nanmean(_scores[1:]):.3f}.
        """,
        en=f"""
        The background wins at {(_most == 0).mean():.0%} of the places. The accuracy is {np.trace(_table) / _table.sum():.3f},
        and the mean IoU of the three classes {np.nanmean(_scores[1:]):.3f}.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Un objeto de 20 × 20 píxeles pierde una capa de borde. ¿Cuánto baja su IoU? ¿Y uno de 100 × 100? ¿Y una línea
        de 2 × 200, que tiene la misma área que el primero?
    """,
        en="""
        **2.** An object of 20 × 20 pixels loses a layer of border. How far does its IoU fall? And one of 100 × 100? And a
        line of 2 × 200, with the same area as the first?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        $18^2 / 20^2 = 0{,}81$ y $98^2 / 100^2 \approx 0{,}96$. La línea es todo borde, $P = A$: su IoU es 0. No es el área lo
        que cuenta, sino $P/A$: lo fino se castiga más que lo pequeño.
    """,
        en=r"""
        $18^2 / 20^2 = 0.81$ and $98^2 / 100^2 \approx 0.96$. The line is nothing but border, $P = A$: its IoU is 0. It is not
        the area that counts but $P/A$: what is thin is punished more than what is small.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        **3.** En un conjunto de grietas, el 99 % de los píxeles es fondo. Tu red tiene una exactitud de 0,995 y no se equivoca
        nunca en el fondo. ¿Cuál es la IoU de la grieta?
    """,
        en=r"""
        **3.** In a set of cracks, 99% of the pixels are background. Your network has an accuracy of 0.995 and is never wrong
        in the background. What is the IoU of the crack?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        De $0{,}995 = 0{,}99 + 0{,}01\,r$ sale $r = 0{,}5$: la IoU es un medio. Falta la mitad de la grieta y el número se ve
        casi perfecto.
    """,
        en=r"""
        From $0.995 = 0.99 + 0.01\,r$ follows $r = 0.5$: the IoU is one half. Half the crack is missing, and the number looks
        almost perfect.
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **4.** ¿Cómo usarías la red de 3.8 para encontrar máscaras mal anotadas en el conjunto con que se entrenó? ¿Qué riesgo
        hay?
    """,
        en="""
        **4.** How would you use the network of 3.8 to find bad masks in the set it was trained on? What is the risk?
    """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Entrena con cuatro quintas partes, predice la quinta, repite para las cinco y ordena las imágenes por su IoU: las
        peores se miran primero. Si predices las mismas con las que entrenaste, la red pudo memorizar el error. Y una IoU
        baja no prueba que la máscara esté mal: puede ser una imagen difícil. La red elige qué mirar; decide una persona.
    """,
        en="""
        Train on four fifths, predict the fifth one, repeat it for all five, and rank the images by IoU: the worst are looked
        at first. If you predict the images you trained on, the network may have learned the mistake by heart. And a low IoU
        does not prove that the mask is wrong: the image may be hard. The network chooses what to look at; a person decides.
    """,
    )
    return


if __name__ == "__main__":
    app.run()
