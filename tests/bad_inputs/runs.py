"""What training and preparing cannot do here."""

from bad_inputs.making import Bad, as_it_is, file

TRAIN = "train set --recipe colorize --preset small --steps 1 --out run"


CASES = (
    Bad("a table of groups with a row cut short", file("set/groups.csv", "key,group\na,1\nb\n"), code=2,
        says=("set/groups.csv, line 3",)),
    Bad("a device that does not exist", as_it_is, command=f"{TRAIN} --device abacus", code=2, says=("abacus",)),
    Bad("a GPU that is not there", as_it_is, command=f"{TRAIN} --device cuda:63", code=2, says=("cuda:63",)),
    Bad("a precision that the device lacks", as_it_is, command=f"{TRAIN} --device cpu --precision fp16", code=2,
        says=("fp16", "cpu")),
    Bad("a seed below 0", as_it_is, command=f"{TRAIN} --seed -1", code=2, says=("seed is -1", "between 0 and")),
    Bad("a negative patience", as_it_is, command=f"{TRAIN} --patience -1", code=2, says=("patience is -1", "0 (off)")),
    Bad("a share that is not a number", as_it_is, command=f"{TRAIN} --split.validation nan", code=2,
        says=("validation is nan", "finite number")),
    Bad("far too many processes", as_it_is, command=f"{TRAIN} --processes 100000", code=2,
        says=("processes is 100000", "at most 256")),
    Bad("a batch beyond all memory", as_it_is, command=f"{TRAIN} --batch 1000000000000", code=2,
        says=("batch is 1000000000000", "at most")),
    Bad("a model to start from that is not there", as_it_is, command=f"{TRAIN} --start nowhere", code=2,
        says=("nowhere", "start from")),
    Bad("classes of a label map where images are grey", as_it_is, code=2, says=("--generator.labels none",),
        command=f"{TRAIN} --generator.labels facades"),
    Bad("a perceptual loss without a weight", as_it_is, code=2, says=("perceptual efficientnet", "give both"),
        command=f"{TRAIN} --objective.perceptual efficientnet"),
    Bad("a preset for masks where colour is to be learned", as_it_is, code=2, says=("--best-by iou", "choose l1"),
        command="train set --recipe colorize --preset segment --steps 1 --out run"),
    Bad("a size that is too small for the preset best", as_it_is, code=2, says=("size 32 is not a multiple of 64",),
        command="train set --preset best --size 32 --steps 1 --out run"),
    Bad("results of something else where the run is to lie", file("run/model.json", b"{}"), command=TRAIN, code=2,
        says=("holds a run already", "another --out")),
    Bad("more processes than images", as_it_is, command=f"{TRAIN} --device cpu --processes 3", code=2,
        says=("3 processes", "fewer")),
    Bad("a Ray address that does not answer", as_it_is, code=2, says=("127.0.0.1:1",),
        command="prepare set --recipe erase --out pairs --engine ray --address 127.0.0.1:1"),
    Bad("an object store whose library is missing", as_it_is, code=2, says=("s3", "pip install"),
        command="prepare s3://bucket/set --recipe erase --out pairs"),
)  # fmt: skip
