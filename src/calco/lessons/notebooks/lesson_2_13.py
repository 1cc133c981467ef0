import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Calco 2.13 · Ver las imágenes aumentadas · Looking at augmented images")


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
        "2.13",
        es="""
        Antes de entrenar, mira lo que la red va a mirar. Esta hoja muestra una fila por imagen y una columna por época,
        con sus cajas. Cinco minutos aquí ahorran cinco horas después.
        """,
        en="""
        Before training, look at what the network will look at. This sheet shows a row for each image and a column for
        each epoch, with the boxes. Five minutes here save five hours later.
        """,
    )
    return (t,)


@app.cell
def _(kit, t):
    strength = t.slider(0, 2, step=0.25, value=1, es="fuerza", en="strength")
    kind = t.dropdown(
        {
            "all": ("todo", "everything"),
            "geometry": ("solo geometría", "geometry alone"),
            "light": ("solo luz y color", "light and colour alone"),
            "damage": ("solo daños", "damage alone"),
        },
        value="all",
        es="aumento",
        en="augmentation",
    )
    kit.mo.hstack([strength, kind], justify="start", wrap=True)
    return kind, strength


@app.cell
def _(data, kind, kit, loaded, scaled, sheet, strength, t):
    chosen = scaled(kind.value, strength.value)
    grid, boxes_seen = sheet(loaded, chosen, rows=(5, 12, 14), epochs=4, classes=data.classes)
    kit.mo.vstack(
        [
            t.image(
                grid,
                es="Tres imágenes en cuatro épocas. Dibujos de OpenMoji, CC BY-SA 4.0.",
                en="Three images in four epochs. Drawings by OpenMoji, CC BY-SA 4.0.",
                width=760,
            ),
            t(es=f"Cajas en la hoja: **{boxes_seen}**.", en=f"Boxes on the sheet: **{boxes_seen}**."),
        ]
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## El código

        La misma función que alimenta el entrenamiento dibuja la hoja. Ese es el punto: una hoja hecha con *otro* código
        solo demostraría que el otro código funciona.
        """,
        en="""
        ## The code

        The function that feeds training draws the sheet as well. That is the point: a sheet made by *other* code would
        only show that the other code works.
        """,
    )
    return


@app.cell
def _():
    from dataclasses import replace

    import numpy as np

    import calco
    from calco.data.box_augmentation import augmented, no_augmentation
    from calco.data.config import BoxAugmentConfig
    from calco.detection import draw_detections
    from calco.lessons import scenes

    data = calco.open_source(scenes.scenes())
    loaded = [data.load(item) for item in data.items if item.split == "train"][:24]

    def scaled(kind, strength):
        """Return the library's augmentation, times a strength; 1 is what `calco detect train` uses."""
        full, least = BoxAugmentConfig(), no_augmentation()
        spread = np.log(full.scale) * strength
        geometry = {
            "flip": 0.5 * (strength > 0), "scale": tuple(float(s) for s in np.exp(spread)),
            "shift": min(1.0, strength), "rotate": full.rotate * strength, "mosaic": min(1.0, full.mosaic * strength),
            "mosaic_scale": full.mosaic_scale, "least_seen": full.least_seen,
        }  # fmt: skip
        light = {"light": min(1.0, full.light * strength), "colour": min(1.0, full.colour * strength)}
        damage = {
            "damage": min(1.0, full.damage * strength), "blur": full.blur * strength, "noise": full.noise * strength,
            "jpeg": full.jpeg, "erase": min(1.0, full.erase * strength),
        }  # fmt: skip
        groups = {"geometry": geometry, "light": light, "damage": damage}
        parts = groups.values() if kind == "all" else [groups[kind]]
        return replace(least, **{name: value for part in parts for name, value in part.items()})

    def sheet(samples, config, *, rows, epochs, classes, side=192):
        lines, total = [], 0
        for row in rows:
            cells = []
            for epoch in range(epochs):
                image, found = augmented(samples.__getitem__, row, len(samples), side, config, seed=0, epoch=epoch)
                total += len(found)
                cells.append(np.pad(draw_detections(image, found, classes), ((2, 2), (2, 2), (0, 0)), mode="constant"))
            lines.append(np.concatenate(cells, axis=1))
        return np.concatenate(lines, axis=0), total

    return augmented, data, loaded, np, scaled, sheet


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué buscar

        Lee la hoja con estas preguntas, en orden:

        1. **¿Las cajas abrazan a los objetos?** Si en *una* imagen están corridas, en todas lo están. Reflejos y
           recortes son los sospechosos habituales.
        2. **¿Reconocerías tú cada objeto?** Si tú no, la red tampoco, y aprenderá a adivinar.
        3. **¿Hay objetos visibles sin caja?** Demasiada visibilidad mínima, o anotaciones incompletas.
        4. **¿Hay cajas sobre nada?** Muy poca visibilidad mínima, o un parche encima.
        5. **¿Se parece a lo que vendrá?** Compara con fotos del lugar de uso, no con tu gusto.

        Los ojos encuentran lo raro; los números, lo sistemático. El aumento cambia la *distribución* de lo que la red
        ve. Aquí, el tamaño de las cajas antes y después, en 24 imágenes y 8 épocas, con la fuerza que elegiste:
        """,
        en="""
        ## What to look for

        Read the sheet with these questions, in this order:

        1. **Do the boxes hug the objects?** If they are displaced in *one* image, they are in all. Mirroring and crops
           are the usual suspects.
        2. **Would you recognise each object?** If you would not, the network will not either, and learns to guess.
        3. **Are there visible objects without a box?** Too high a minimum visibility, or incomplete annotations.
        4. **Are there boxes on nothing?** Too low a minimum visibility, or a patch on top.
        5. **Does it look like what will come?** Compare with photos of the place of use, not with your taste.

        Eyes find what is odd; numbers find what is systematic. Augmentation changes the *distribution* of what the
        network sees. Here are the sizes of boxes before and after, in 24 images and 8 epochs, at the strength you chose:
        """,
    )
    return


@app.cell
def _(augmented, kind, kit, loaded, np, scaled, strength, t):
    _config = scaled(kind.value, strength.value)
    before = np.concatenate([np.sqrt(s.detections.areas()) / s.image.shape[0] for s in loaded])
    _each = [
        augmented(loaded.__getitem__, i, len(loaded), 96, _config, seed=0, epoch=e, outlines=False)[1]
        for e in range(8)
        for i in range(len(loaded))
    ]
    after = np.concatenate([np.sqrt(found.areas()) / 96 for found in _each])
    empty = float(np.mean([len(found) == 0 for found in _each]))
    _figure, _axes = kit.plot()
    _bins = np.linspace(0, 1, 26)
    _axes.hist(before, _bins, density=True, alpha=0.6, label=t.pick("original", "original"))
    _axes.hist(after, _bins, density=True, alpha=0.6, label=t.pick("aumentado", "augmented"))
    _axes.set(xlabel=t.pick("lado de la caja / lado de la imagen", "side of box / side of image"), yticks=[])
    _axes.legend()
    t.image(
        _figure,
        es=f"Mediana {np.median(before):.2f} antes y {np.median(after):.2f} después; {empty:.0%} de las imágenes "
        "aumentadas quedan sin ningún objeto.",
        en=f"Median {np.median(before):.2f} before and {np.median(after):.2f} after; {empty:.0%} of the augmented images "
        "are left without an object.",
        width=560,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        El mosaico encoge: pone cuatro imágenes donde había una. Si después el detector debe encontrar objetos *grandes*,
        conviene subir `mosaic_scale` o bajar `mosaic`. Fuera del cuaderno, `calco check CARPETA` hace esta hoja (y
        otras) con los datos y las opciones que vas a usar, y la deja en una página.

        ## Ejercicios

        **1.** Elige *solo geometría* y sube la fuerza de 0 a 2. ¿Qué pasa con la mediana del tamaño y con las imágenes
        vacías?
        """,
        en="""
        A mosaic shrinks: it puts four images where there was one. If the detector is to find *large* objects later,
        raise `mosaic_scale` or lower `mosaic`. Outside the notebook, `calco check FOLDER` makes this sheet (and others)
        with the data and the options that you are going to use, and leaves it on a page.

        ## Exercises

        **1.** Choose *geometry alone*, and raise the strength from 0 to 2. What happens to the median size and to the
        empty images?
        """,
    )
    return


@app.cell(hide_code=True)
def _(augmented, loaded, np, scaled, t):
    def summary(strength):
        found = [
            augmented(loaded.__getitem__, i, len(loaded), 96, scaled("geometry", strength), seed=0, epoch=e,
                      outlines=False)[1]
            for e in range(4) for i in range(len(loaded))
        ]  # fmt: skip
        sizes = np.concatenate([np.sqrt(each.areas()) / 96 for each in found])
        return float(np.median(sizes)), float(np.mean([len(each) == 0 for each in found]))

    _rows = {s: summary(s) for s in (0.0, 1.0, 2.0)}
    _es = "; ".join(f"fuerza {s:g}: mediana {m:.2f}, vacías {e:.0%}" for s, (m, e) in _rows.items())
    _en = "; ".join(f"strength {s:g}: median {m:.2f}, empty {e:.0%}" for s, (m, e) in _rows.items())
    t.solution(
        es=f"""
        {_es}. Con fuerza 2 casi todo es mosaico (el objeto típico se encoge) y los recortes más fuertes dejan imágenes
        sin objetos. Unas pocas vacías son útiles, porque enseñan el fondo; muchas son tiempo perdido.
        """,
        en=f"""
        {_en}. At strength 2 almost everything is a mosaic (the usual object shrinks), and the harder crops leave images
        without objects. A few empty ones are useful, as they teach the background; many are lost time.
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** La hoja siempre sale igual cuando vuelves a la misma fuerza. ¿Por qué conviene, si se trata de azar?
        """,
        en="""
        **2.** The sheet is always the same when you return to a strength. Why is this good, if it is about chance?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es="""
        Cada número sale de la semilla, la época y el nombre de la imagen. Así la hoja muestra *exactamente* lo que el
        entrenamiento verá; un fallo que encuentres se puede volver a mirar; y un entrenamiento interrumpido se reanuda
        como si nada.
        """,
        en="""
        Each number derives from the seed, the epoch and the name of the image. So the sheet shows *exactly* what training
        will see; a fault that you find can be looked at again; and an interrupted training resumes as if nothing had
        happened.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
