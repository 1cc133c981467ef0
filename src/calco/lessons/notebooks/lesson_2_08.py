import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 2.8 · Cargar el conjunto de datos · Loading the data set",
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
        "2.8",
        es="""
        Un archivo COCO es un JSON con tres listas. Cargarlo a mano toma diez líneas; elige una imagen y míralas
        trabajar.
        """,
        en="""
        A COCO file is JSON with three lists. Loading it by hand takes ten lines; choose an image and see them at work.
        """,
    )
    return (t,)


@app.cell(hide_code=True)
def _():
    import json

    import numpy as np

    import calco
    from calco.annotations import read_annotations
    from calco.lessons.scenes import scenes

    folder = scenes()  # drawings from OpenMoji, CC BY-SA 4.0
    return calco, folder, json, np, read_annotations


@app.cell
def _(folder, json):
    coco = json.loads((folder / "annotations" / "train.json").read_text())
    names = {each["id"]: each["name"] for each in coco["categories"]}
    of_image = {each["id"]: [] for each in coco["images"]}  # images without objects keep an empty list
    for _entry in coco["annotations"]:
        _left, _top, _width, _height = _entry["bbox"]
        of_image[_entry["image_id"]].append(
            (names[_entry["category_id"]], [_left, _top, _left + _width, _top + _height])
        )
    len(coco["images"]), len(coco["annotations"]), names
    return coco, names, of_image


@app.cell
def _(coco, t):
    number = t.slider(0, len(coco["images"]) - 1, value=9, es="imagen", en="image")
    number
    return (number,)


@app.cell
def _(calco, coco, folder, number, of_image):
    chosen = coco["images"][number.value]
    picture = calco.read_image(folder / "images" / chosen["file_name"])
    mine = of_image[chosen["id"]]
    return chosen, mine, picture


@app.cell(hide_code=True)
def _(chosen, kit, mine, picture, t):
    kit.mo.hstack(
        [
            t.image(picture, es=chosen["file_name"], en=chosen["file_name"], width=220),
            t.table(
                [{t.pick("clase", "class"): _name, "xyxy": ", ".join(f"{_x:g}" for _x in _box)} for _name, _box in mine]
            )
            if mine
            else t(es="Sin objetos.", en="No objects."),
        ],
        justify="start",
        gap=2,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Las tres listas

        - `images`: número, nombre del archivo, ancho y alto.
        - `categories`: número y nombre de cada clase. Los números pueden tener saltos: los 80 de COCO llegan hasta 90.
        - `annotations`: un objeto por entrada, con el número de su imagen, el de su clase, su `bbox` y su máscara.

        Una entrada completa de este conjunto, con la máscara abreviada:
        """,
        en="""
        ## The three lists

        - `images`: number, file name, width and height.
        - `categories`: number and name of each class. Numbers may have gaps: those of COCO's 80 classes run to 90.
        - `annotations`: an object for each entry, with the number of its image, that of its class, its `bbox` and its
          mask.

        A complete entry of this set, with its mask shortened:
        """,
    )
    return


@app.cell
def _(coco):
    entry = dict(coco["annotations"][0])
    entry["segmentation"] = {
        "size": entry["segmentation"]["size"],
        "counts": entry["segmentation"]["counts"][:12] + "…",
    }
    entry
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Cuatro tropiezos de siempre:

        1. `bbox` es izquierda, arriba, **ancho, alto**, y no izquierda, arriba, derecha, abajo.
        2. Una imagen **sin objetos** no aparece en `annotations`. Si solo recorres esa lista, la pierdes, y con ella
           los ejemplos de fondo puro.
        3. `iscrowd: 1` marca una multitud que nadie separó: no cuenta ni como acierto ni como omisión.
        4. La clase 1 de un archivo puede ser la 2 de otro: compara **nombres**, nunca números.

        ## Con la biblioteca

        `read_annotations` reconoce el formato por su contenido (COCO, VOC, YOLO, LabelMe, CVAT y otros), corrige lo que
        puede y nombra cada problema. Comprobemos que dice lo mismo que nuestras diez líneas:
        """,
        en="""
        Four stumbling blocks:

        1. `bbox` is left, top, **width, height**, not left, top, right, bottom.
        2. An image **without objects** is absent from `annotations`. If you only run through this list you lose it, and
           with it the examples of pure background.
        3. `iscrowd: 1` marks a crowd that nobody separated: it counts neither as right nor as missed.
        4. Class 1 of one file may be class 2 of another: compare **names**, never numbers.

        ## With the library

        `read_annotations` recognises the format by its content (COCO, VOC, YOLO, LabelMe, CVAT and others), repairs
        what it can, and names each problem. Let us check that it agrees with our ten lines:
        """,
    )
    return


@app.cell
def _(coco, folder, np, of_image, read_annotations):
    annotations = read_annotations(folder / "annotations" / "train.json", folder / "images")
    records = {record.name: record.detections for record in annotations.records}
    same = 0
    for _image in coco["images"]:
        _objects = records[_image["file_name"]]
        _own = of_image[_image["id"]]
        assert list(_objects.classes) == [_name for _name, _ in _own]
        assert np.allclose(_objects.boxes, np.array([_box for _, _box in _own]).reshape(-1, 4))
        same += len(_own)
    {"format": annotations.format, "boxes that agree": same, "problems": len(annotations.problems)}
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        ## Qué pasa con un archivo dañado

        Estropeemos tres anotaciones: una caja fuera de la imagen, una vacía y una clase que no existe.
        """,
        en="""
        ## What happens to a damaged file

        Let us spoil three annotations: a box outside its image, an empty one, and a class that does not exist.
        """,
    )
    return


@app.cell
def _(coco, folder, json, read_annotations):
    import copy
    import tempfile
    from pathlib import Path

    broken = copy.deepcopy(coco)
    for _entry in broken["annotations"]:
        _entry.pop("segmentation")
    broken["annotations"][0]["bbox"] = [400, 400, 20, 20]
    broken["annotations"][1]["bbox"] = [10, 10, 0, 30]
    broken["annotations"][2]["category_id"] = 99
    with tempfile.TemporaryDirectory() as _folder:
        _file = Path(_folder) / "broken.json"
        _file.write_text(json.dumps(broken))
        reported = [problem.reason for problem in read_annotations(_file, folder / "images").problems]
    reported
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        Nuestras diez líneas habrían aceptado las dos cajas sin decir nada; con la clase habrían dado un `KeyError`.
        Un buen cargador no corrige en silencio: dice qué dejó fuera y por qué.

        ## Ejercicios

        **1.** Cuenta cuántas imágenes de entrenamiento tienen un animal, con las listas de arriba.
        """,
        en="""
        Our ten lines would have accepted both boxes without a word; the class would have been a `KeyError`. A good
        loader does not repair in silence: it says what it left out, and why.

        ## Exercises

        **1.** Count the training images that show an animal, with the lists above.
        """,
    )
    return


@app.cell(hide_code=True)
def _(of_image, t):
    _animals = sum(any(_name == "animal" for _name, _ in _objects) for _objects in of_image.values())
    t.solution(
        es=f"""`sum(any(name == "animal" for name, _ in objects) for objects in of_image.values())` da {_animals} de {len(of_image)}.""",
        en=f"""`sum(any(name == "animal" for name, _ in objects) for objects in of_image.values())` gives {_animals} of {len(of_image)}.""",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es="""
        **2.** Escribe las líneas de YOLO (`clase cx cy ancho alto`, relativos) de la imagen elegida.
        """,
        en="""
        **2.** Write the lines of YOLO (`class cx cy width height`, relative) of the chosen image.
        """,
    )
    return


@app.cell(hide_code=True)
def _(chosen, mine, names, t):
    _order = sorted(names.values())
    _lines = "\n".join(
        f"{_order.index(_name)} {(_a + _c) / 2 / chosen['width']:.4f} {(_b + _d) / 2 / chosen['height']:.4f} "
        f"{(_c - _a) / chosen['width']:.4f} {(_d - _b) / chosen['height']:.4f}"
        for _name, (_a, _b, _c, _d) in mine
    )
    t.solution(
        es=f"Con las clases numeradas desde cero en el orden {_order}:\n\n```\n{_lines}\n```\n\n`calco.annotations.write_yolo` lo hace con todo el conjunto.",
        en=f"With classes numbered from zero in the order {_order}:\n\n```\n{_lines}\n```\n\n`calco.annotations.write_yolo` does this for a whole set.",
    )
    return


@app.cell(hide_code=True)
def _(t):
    t(
        es=r"""
        **3.** En la entrada completa de arriba, `area` es menor que el ancho por el alto de `bbox`. ¿Por qué? ¿Para qué la usa
        COCO?
        """,
        en=r"""
        **3.** In the complete entry above, `area` is less than width times height of `bbox`. Why? What does COCO use it for?
        """,
    )
    return


@app.cell(hide_code=True)
def _(t):
    t.solution(
        es=r"""
        Cuenta los píxeles de la máscara, y un objeto rara vez llena su caja. COCO separa con ella los objetos pequeños
        ($<32^2$), medianos y grandes ($\ge 96^2$). Un archivo sin máscaras suele poner ahí el área de la caja; sus objetos
        «crecen», y las medidas por tamaño de los dos archivos no se comparan.
        """,
        en=r"""
        It counts the pixels of the mask, and an object rarely fills its box. COCO separates with it small objects
        ($<32^2$), medium and large ones ($\ge 96^2$). A file without masks usually has the area of the box there; its
        objects “grow”, and the measures by size of the two files do not compare.
        """,
    )
    return


if __name__ == "__main__":
    app.run()
