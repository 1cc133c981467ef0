import marimo

__generated_with = "0.25.2"
app = marimo.App(
    app_title="Calco 3.10 · Cuestionario de segmentación · Segmentation quiz",
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
        "3.10",
        es="""
        Doce preguntas sobre la parte 3. Cada opción, correcta o no, explica por qué. Sin trucos: comprender, sumar
        poco y leer una tabla.
    """,
        en="""
        Twelve questions on part 3. Each choice, right or wrong, says why. No tricks: understanding, small sums,
        reading a table.
    """,
    )
    return (t,)


@app.cell(hide_code=True)
def _(kit):
    def question(es, en, *choices):
        """A question; the right choice is the first, and its place is turned by the length of the text."""
        made = [kit.Choice(es=a, en=b, why_es=c, why_en=d, right=i == 0) for i, (a, b, c, d) in enumerate(choices)]
        turn = len(en) % len(made)
        return kit.Question(es=es, en=en, choices=tuple(made[turn:] + made[:turn]))

    QUESTIONS = (
        question(
            "Un objeto cubre el 5 % de la imagen y la red dice que todo es fondo. ¿Qué exactitud y qué IoU del objeto obtiene?",
            "An object covers 5 % of the image, and the network says that all is background. What are its accuracy and the IoU of the object?",
            (
                "95 % y 0",
                "95% and 0",
                "acierta todo el fondo y no comparte ningún píxel del objeto.",
                "all of the background is right, and no pixel of the object is shared.",
            ),
            (
                "5 % y 0",
                "5 % and 0",
                "5 % es lo que falla, no lo que acierta.",
                "5 % is what it gets wrong, not right.",
            ),
            (
                "95 % y 0,05",
                "95% and 0.05",
                "sin píxeles en común, la intersección es 0 y la IoU también.",
                "with no shared pixels the intersection is 0, and so is IoU.",
            ),
        ),
        question(
            "¿Qué segmentación sirve para contar autos que se tocan?",
            "Which segmentation serves to count cars that touch?",
            ("De instancias", "Instance", "da una máscara por objeto.", "it gives one mask for each object."),
            (
                "Semántica",
                "Semantic",
                "los autos que se tocan forman una sola mancha.",
                "cars that touch are one region.",
            ),
            (
                "Un umbral de brillo",
                "A threshold of brightness",
                "no distingue clases ni objetos.",
                "it separates neither classes nor objects.",
            ),
        ),
        question(
            "La segmentación panóptica da a cada píxel…",
            "Panoptic segmentation gives each pixel…",
            (
                "una clase y, si es contable, el número de su objeto",
                "a class and, if it can be counted, the number of its object",
                "nada queda sin nombre y nada tiene dos.",
                "nothing stays without a name, and nothing has two.",
            ),
            ("solo una clase", "a class only", "eso es la semántica.", "this is the semantic one."),
            (
                "una o varias máscaras superpuestas",
                "one or more overlapping masks",
                "en la panóptica los segmentos no se superponen.",
                "segments of a panoptic answer do not overlap.",
            ),
        ),
        question(
            "¿Qué campo receptivo tienen dos convoluciones de 3 × 3, zancada 1, con dilatación 1 y luego 2?",
            "What is the receptive field of two 3 × 3 convolutions of stride 1, with dilation 1 and then 2?",
            ("7 píxeles", "7 pixels", "1 + 1·2 + 2·2 = 7.", "1 + 1·2 + 2·2 = 7."),
            (
                "5 píxeles",
                "5 pixels",
                "sería así con dilatación 1 en las dos: 1 + 2 + 2.",
                "this holds for dilation 1 in both: 1 + 2 + 2.",
            ),
            (
                "9 píxeles",
                "9 pixels",
                "sería así con dilatación 2 en las dos: 1 + 4 + 4.",
                "this holds for dilation 2 in both: 1 + 4 + 4.",
            ),
            ("6 píxeles", "6 pixels", "con filtros impares el campo es impar.", "with odd filters the field is odd."),
        ),
        question(
            "¿Por qué una máscara de clases no se guarda en JPEG?",
            "Why is a mask of classes not stored as JPEG?",
            (
                "Inventa valores en los bordes",
                "It invents values at borders",
                "la compresión con pérdida crea números que no son ninguna clase, o son otra.",
                "lossy compression makes numbers that are no class, or another one.",
            ),
            (
                "JPEG no admite más de 256 clases",
                "JPEG has no more than 256 classes",
                "PNG de 8 bits tampoco; ese no es el motivo.",
                "neither has 8-bit PNG; this is not the reason.",
            ),
            (
                "Ocupa más que PNG",
                "It is larger than PNG",
                "suele ocupar menos; el problema es la exactitud.",
                "it is usually smaller; the problem is exactness.",
            ),
        ),
        question(
            "En una imagen de 3 filas y 2 columnas, el RLE de COCO es [2, 3, 1]. ¿Qué píxeles son del objeto?",
            "In an image of 3 rows and 2 columns, COCO's RLE is [2, 3, 1]. Which pixels are the object's?",
            (
                "El último de la primera columna y los dos primeros de la segunda",
                "The last of the first column, and the first two of the second",
                "por columnas: 0, 0, 1 y 1, 1, 0.",
                "by columns: 0, 0, 1 and 1, 1, 0.",
            ),
            (
                "Los tres de la segunda fila",
                "The three of the second row",
                "una fila solo tiene dos píxeles, y COCO va por columnas.",
                "a row has two pixels only, and COCO goes by columns.",
            ),
            (
                "Los dos primeros de la primera columna",
                "The first two of the first column",
                "la primera longitud siempre cuenta ceros.",
                "the first length always counts zeros.",
            ),
        ),
        question(
            "Reduces una máscara con números de clase a la mitad. ¿Cómo interpolas?",
            "You reduce a mask of class numbers to half its size. How do you interpolate?",
            (
                "Con el vecino más cercano",
                "By the nearest neighbour",
                "solo da clases que existían.",
                "it gives only classes that were there.",
            ),
            (
                "Bilineal",
                "Bilinear",
                "el promedio de 1 y 3 es 2: otra clase.",
                "the mean of 1 and 3 is 2: another class.",
            ),
            (
                "Bicúbica",
                "Bicubic",
                "además del promedio, se pasa de los extremos.",
                "it averages, and overshoots besides.",
            ),
        ),
        question(
            "Tienes 8 fotos de cada persona. ¿Cómo repartes entre entrenamiento y prueba?",
            "You have 8 photographs of each person. How do you split training and test?",
            ("Por persona", "By person", "así la prueba mide personas nuevas.", "so the test measures new persons."),
            (
                "Al azar por foto",
                "By random photographs",
                "cada persona de la prueba ya estaría en el entrenamiento.",
                "each person of the test would be in training already.",
            ),
            (
                "Las primeras 4 fotos de cada una para entrenar",
                "The first 4 photographs of each for training",
                "otra vez son las mismas personas a ambos lados.",
                "again the same persons are on both sides.",
            ),
        ),
        question(
            "¿Qué aportan las conexiones de salto de una U-Net?",
            "What do the skip connections of a U-Net bring?",
            (
                "El detalle fino que el fondo perdió",
                "The fine detail that the bottom has lost",
                "el decodificador concatena el mapa del codificador del mismo tamaño.",
                "the decoder concatenates the encoder's map of the same size.",
            ),
            (
                "Más campo receptivo",
                "A larger receptive field",
                "eso lo dan las reducciones; el salto tiene un campo menor.",
                "the reductions give that; what a skip brings has a smaller one.",
            ),
            (
                "Menos parámetros",
                "Fewer parameters",
                "el decodificador recibe el doble de canales: tiene más.",
                "the decoder gets twice the channels: it has more.",
            ),
        ),
        question(
            "Una red de cuatro clases empieza con una pérdida de 1,39. ¿Qué significa?",
            "A network of four classes begins with a loss of 1.39. What does it mean?",
            (
                "Reparte 1/4 a cada clase",
                "It gives 1/4 to each class",
                "−ln(1/4) = ln 4 = 1,386.",
                "−ln(1/4) = ln 4 = 1.386.",
            ),
            (
                "Ya acierta el 39 %",
                "It is right for 39 % already",
                "la pérdida no es un porcentaje.",
                "the loss is not a percentage.",
            ),
            (
                "La tasa de aprendizaje es alta",
                "The learning rate is too high",
                "antes del primer paso, la tasa no actuó todavía.",
                "before the first step the rate has not acted yet.",
            ),
        ),
        question(
            "Una clase tiene TP = 60, FP = 20, FN = 20. ¿IoU y Dice?",
            "A class has TP = 60, FP = 20, FN = 20. IoU and Dice?",
            ("0,60 y 0,75", "0.60 and 0.75", "60/100 y 120/160.", "60/100 and 120/160."),
            (
                "0,75 y 0,60",
                "0.75 and 0.60",
                "están cambiadas: Dice nunca es menor que la IoU.",
                "they are exchanged: Dice is never below IoU.",
            ),
            (
                "0,75 y 0,75",
                "0.75 and 0.75",
                "esas son la precisión y la exhaustividad, 60/80.",
                "these are precision and recall, 60/80.",
            ),
        ),
        question(
            "¿Con qué partición se elige el umbral?",
            "On which split is the threshold chosen?",
            (
                "Con la de validación",
                "On validation",
                "queda aparte del entrenamiento, y la prueba sigue sin usarse.",
                "it is apart from training, and the test stays unused.",
            ),
            (
                "Con la de prueba",
                "On the test",
                "el puntaje sería optimista: se habría elegido lo que mejor le va.",
                "the score would be too good: what suits it best would have been chosen.",
            ),
            (
                "Con la de entrenamiento",
                "On training",
                "allí la red está más segura de lo debido.",
                "there the network is surer than it should be.",
            ),
        ),
    )
    return (QUESTIONS,)


@app.cell
def _(QUESTIONS, t):
    answers = t.quiz(QUESTIONS)
    answers.vstack(gap=1)
    return (answers,)


@app.cell
def _(QUESTIONS, answers, t):
    t.marks(QUESTIONS, answers.value)
    return


if __name__ == "__main__":
    app.run()
