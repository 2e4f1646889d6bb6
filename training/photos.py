"""Class-labelled photographs as training pictures and as a second development set: does the caption name the thing?

A label becomes short captions in Flickr8k's manner. Pictures are held back class by class: five in a hundred of every class
with at least 20, about 400 pictures that nothing is trained on. No captions exist for any of them.

    npm run -s caption -- --json $(python photos.py labels.jsonl IMAGES) | python photos.py labels.jsonl IMAGES --said -
"""

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

# Maps a class to the words that name it. The training caption uses the first; any of them counts as naming it.
NAMES: dict[str, list[str]] = {
    "airplane": ["airplane", "plane", "jet", "aircraft"],
    "face": ["person", "man", "woman", "face", "boy", "girl", "people"],
    "motorbike": ["motorcycle", "motorbike", "bike"],
    "ketch": ["sailboat", "boat", "ship", "sailing"],
    "schooner": ["sailing ship", "ship", "boat", "sailboat"],
    "ferry": ["ferry", "boat", "ship"],
    "hawksbill": ["sea turtle", "turtle"],
    "buddha": ["buddha statue", "statue", "buddha"],
    "cougar face": ["cougar", "cat", "lion"],
    "cougar body": ["cougar", "cat", "lion"],
    "wild cat": ["wild cat", "cat"],
    "dalmatian": ["dalmatian dog", "dog", "dalmatian"],
    "joshua tree": ["joshua tree", "tree"],
    "flamingo head": ["flamingo", "bird"],
    "flamingo": ["flamingo", "bird"],
    "ibis": ["ibis bird", "bird", "ibis"],
    "emu": ["emu bird", "bird", "emu"],
    "pigeon": ["pigeon", "bird"],
    "rooster": ["rooster", "chicken", "bird"],
    "crocodile head": ["crocodile", "alligator"],
    "crocodile": ["crocodile", "alligator"],
    "rhino": ["rhino", "rhinoceros"],
    "bass": ["fish", "bass"],
    "tench (fish)": ["fish"],
    "sea horse": ["sea horse", "seahorse"],
    "windsor chair": ["wooden chair", "chair"],
    "water lilly": ["water lily", "lily", "flower"],
    "lotus": ["lotus flower", "flower", "lotus"],
    "sunflower": ["sunflower", "flower"],
    "bonsai": ["bonsai tree", "tree", "bonsai", "plant"],
    "electric guitar": ["electric guitar", "guitar"],
    "grand piano": ["grand piano", "piano"],
    "French horn": ["french horn", "horn"],
    "euphonium": ["euphonium", "horn", "tuba"],
    "English springer (dog)": ["brown and white dog", "dog"],
    "cellphone": ["cell phone", "cellphone", "phone"],
    "soccer ball": ["soccer ball", "ball"],
    "golf ball": ["golf ball", "ball"],
    "chain saw": ["chain saw", "chainsaw"],
    "gas pump": ["gas pump", "gas station", "pump"],
    "garbage truck": ["garbage truck", "truck"],
    "cassette player": ["cassette player", "radio", "player", "stereo"],
    "binocular": ["pair of binoculars", "binoculars"],
    "headphone": ["pair of headphones", "headphones"],
    "scissors": ["pair of scissors", "scissors"],
    "inline skate": ["inline skate", "skate", "skates"],
    "house": ["house", "building"],
    "house front": ["house", "building"],
    "bathroom": ["bathroom"],
    "bedroom": ["bedroom", "bed"],
    "church": ["church", "building", "cathedral"],
    "person": ["person", "man", "woman", "people", "boy", "girl"],
    "watch": ["watch", "clock"],
    "cup": ["cup", "mug"],
    "ewer": ["pitcher", "vase", "jug"],
    "okapi": ["okapi"],
    "leopard": ["leopard", "cheetah", "cat"],
    "panda": ["panda", "bear"],
    "crayfish": ["crayfish", "lobster"],
    "lobster": ["lobster", "crayfish"],
    "llama": ["llama", "alpaca"],
    "gerenuk": ["antelope", "gazelle", "deer"],
    "chandelier": ["chandelier", "lamp", "light"],
    "wheelchair": ["wheelchair", "chair"],
    "laptop": ["laptop", "computer"],
    "revolver": ["gun", "revolver", "pistol"],
    "pyramid": ["pyramid"],
    "accordion": ["accordion"],
    "parachute": ["parachute"],
}
# The everyday words for ImageNet's finer classes, each of which has one photograph.
KINDS: dict[str, str] = {
    "cat": "Angora,Egyptian cat,Persian cat,Siamese cat,tabby,tiger cat",
    "dog": """Afghan hound,African hunting dog,American Staffordshire terrier,Appenzeller,Australian terrier,Bedlington terrier,
        Bernese mountain dog,Blenheim spaniel,Border collie,Border terrier,Boston bull,Bouvier des Flandres,Brabancon griffon,
        Brittany spaniel,Cardigan,Chesapeake Bay retriever,Chihuahua,Dandie Dinmont,Doberman,English foxhound,English setter,
        English springer,EntleBucher,Eskimo dog,French bulldog,German shepherd,German short-haired pointer,Gordon setter,Great Dane,
        Great Pyrenees,Greater Swiss Mountain dog,Ibizan hound,Irish setter,Irish terrier,Irish water spaniel,Irish wolfhound,
        Italian greyhound,Japanese spaniel,Kerry blue terrier,Labrador retriever,Lakeland terrier,Lhasa,Maltese dog,
        Mexican hairless,Newfoundland,Norfolk terrier,Norwegian elkhound,Old English sheepdog,Pekinese,Pembroke,Pomeranian,
        Rhodesian ridgeback,Rottweiler,Saint Bernard,Saluki,Samoyed,Scotch terrier,Scottish deerhound,Sealyham terrier,
        Shetland sheepdog,Shih-Tzu,Siberian husky,Staffordshire bullterrier,Sussex spaniel,Tibetan mastiff,Tibetan terrier,
        Walker hound,Weimaraner,Welsh springer spaniel,West Highland white terrier,Yorkshire terrier,affenpinscher,basenji,basset,
        beagle,black-and-tan coonhound,bloodhound,bluetick,borzoi,boxer,briard,bull mastiff,cairn,chow,clumber,cocker spaniel,
        collie,curly-coated retriever,dhole,dingo,flat-coated retriever,giant schnauzer,golden retriever,groenendael,keeshond,
        kelpie,komondor,kuvasz,malamute,malinois,miniature pinscher,miniature poodle,miniature schnauzer,otterhound,papillon,pug,
        redbone,schipperke,silky terrier,soft-coated wheaten terrier,standard poodle,standard schnauzer,toy poodle,toy terrier,
        vizsla,whippet,wire-haired fox terrier""",
    "bird": """African grey,American coot,American egret,European gallinule,albatross,bittern,black stork,brambling,bulbul,chickadee,
        coucal,crane,dowitcher,goldfinch,great grey owl,hornbill,house finch,hummingbird,indigo bunting,jacamar,jay,junco,
        little blue heron,limpkin,lorikeet,macaw,magpie,oystercatcher,partridge,prairie chicken,ptarmigan,quail,
        red-backed sandpiper,redshank,robin,ruddy turnstone,ruffed grouse,sulphur-crested cockatoo,toucan,vulture,water ouzel,
        white stork""",
    "duck": "drake,red-breasted merganser",
    "swan": "black swan",
    "rooster": "cock",
    "chicken": "hen",
    "penguin": "king penguin",
    "fish": "anemone fish,barracouta,coho,eel,gar,goldfish,lionfish,puffer,rock beauty,tench",
    "shark": "great white shark,hammerhead,thresher,tiger shark",
    "whale": "grey whale,killer whale",
    "monkey": """baboon,capuchin,colobus,guenon,howler monkey,langur,macaque,marmoset,patas,proboscis monkey,spider monkey,
        squirrel monkey,titi""",
    "gorilla": "gorilla",
    "snake": """Indian cobra,diamondback,garter snake,green mamba,green snake,hognose snake,horned viper,king snake,night snake,
        ringneck snake,rock python,sea snake,sidewinder,thunder snake,vine snake,water snake""",
    "lizard": """African chameleon,American chameleon,Gila monster,Komodo dragon,agama,alligator lizard,banded gecko,common iguana,
        frilled lizard,green lizard,whiptail""",
    "crocodile": "African crocodile,American alligator",
    "turtle": "box turtle,leatherback turtle,loggerhead,mud turtle,terrapin",
    "frog": "bullfrog,tailed frog,tree frog",
    "butterfly": "admiral,cabbage butterfly,lycaenid,monarch,ringlet,sulphur butterfly",
    "spider": "barn spider,black and gold garden spider,black widow,garden spider,tarantula,wolf spider",
    "beetle": "dung beetle,leaf beetle,rhinoceros beetle,tiger beetle,weevil,ladybug",
    "bear": "American black bear,brown bear,ice bear,sloth bear",
    "panda": "giant panda",
    "wolf": "red wolf,timber wolf,white wolf",
    "fox": "Arctic fox,grey fox,kit fox,red fox",
    "rabbit": "hare,wood rabbit",
    "pig": "hog",
    "horse": "sorrel",
    "camel": "Arabian camel",
    "elephant": "Indian elephant",
    "goat": "ibex",
    "sheep": "bighorn,ram",
    "boat": "fireboat,gondola,lifeboat,paddlewheel,speedboat,trimaran,yawl",
    "ship": "liner",
    "train": "bullet train,electric locomotive,freight car,steam locomotive,streetcar",
    "truck": "moving van,pickup,tow truck,trailer truck",
    "fire truck": "fire engine",
    "bus": "minibus,school bus,trolleybus",
    "van": "minivan,police van",
    "car": "Model T,cab,convertible,jeep,limousine",
    "airplane": "airliner",
    "scooter": "moped,motor scooter",
    "bicycle": "bicycle-built-for-two",
    "clock": "analog clock,digital clock,wall clock",
    "telephone": "dial telephone,pay-phone",
    "cell phone": "cellular telephone,iPod",
    "computer": "desktop computer",
    "keyboard": "computer keyboard,typewriter keyboard",
    "bottle": "beer bottle,pop bottle,water bottle,wine bottle",
    "church": "altar",
    "store": "bakery,bookshop,butcher shop,confectionery,grocery store,shoe shop,tobacco shop,toyshop",
    "tent": "mountain tent",
    "bridge": "steel arch bridge,suspension bridge",
    "beach": "seashore,sandbar",
    "saxophone": "sax",
    "piano": "upright",
    "helmet": "crash helmet,football helmet",
    "sofa": "studio couch",
    "bed": "four-poster",
    "vacuum cleaner": "vacuum",
    "teddy bear": "teddy",
    "hot dog": "hotdog",
}
KIND_OF = {label.strip(): kind for kind, labels in KINDS.items() for label in labels.split(",")}
# Longer captions for things about which Flickr8k's captions would say more.
SCENES: dict[str, list[str]] = {
    "airplane": ["an airplane on the runway", "an airplane in the sky"],
    "face": ["a close up of a person 's face", "a person is looking at the camera"],
    "ketch": ["a sailboat on the water"],
    "schooner": ["a sailing ship on the water"],
    "ferry": ["a ferry boat on the water"],
    "house front": ["the front of a house", "a house with a lawn"],
    "house": ["a large house"],
    "kitchen": ["a kitchen in a house", "the inside of a kitchen"],
    "bathroom": ["a bathroom in a house", "the inside of a bathroom"],
    "bedroom": ["a bedroom with a bed", "a bed in a bedroom"],
    "parachute": ["a parachute in the air", "a person with a parachute"],
    "tench (fish)": ["a person holding a fish", "a large fish"],
    "French horn": ["a person playing a french horn"],
    "chain saw": ["a person with a chain saw"],
    "garbage truck": ["a garbage truck on the street"],
    "gas pump": ["a gas pump at a gas station"],
    "golf ball": ["a golf ball on the grass"],
    "church": ["the front of a church", "a church building"],
    "elephant": ["an elephant is standing"],
    "giraffe": ["a giraffe is standing"],
    "horse": ["a horse is standing in a field"],
    "dolphin": ["a dolphin in the water"],
}
GARMENTS = ["suit", "dress", "coat", "jacket", "blazer", "cardigan", "sweater", "skirt", "blouse", "shirt", "t-shirt", "jeans", "shorts", "pants", "leggings"]
PLURAL = {"jeans", "shorts", "pants", "leggings"}
LEAST_OF_CLASS = 20
HELD_BACK_OF_100 = 5


@dataclass(frozen=True)
class Photo:
    """captions: what may be said about it; names: words, one of which must occur for the thing to count as named."""

    name: str
    captions: list[str]
    names: list[str]


def with_article(noun: str) -> str:
    if noun.startswith("pair of ") or noun[0] not in "aeiou" or noun.startswith(("eu", "uni")):
        return f"a {noun}"
    return f"an {noun}"


def captions_of(label: str) -> list[str]:
    if label.startswith("person wearing: "):
        worn = [w for w in label.removeprefix("person wearing: ").split(", ") if w in GARMENTS]
        worn = sorted(worn, key=GARMENTS.index)[:2]
        phrase = " and ".join(w if w in PLURAL else with_article(w) for w in worn)
        return [f"a person in {phrase} is standing on the street", f"a person wearing {phrase}"] if worn else []
    noun = with_article(names_of(label)[0])
    return [noun, *SCENES.get(label, [f"a close up of {noun}"])]


def names_of(label: str) -> list[str]:
    return NAMES.get(label, [KIND_OF.get(label, label).lower()])


def read_photos(path: Path) -> tuple[list[Photo], list[Photo]]:
    """The labelled photographs of labels.jsonl: (for training, held back)."""
    rows = [row for row in map(json.loads, path.open()) if "label" in row]
    count: dict[str, int] = {}
    for row in rows:
        count[row["label"]] = count.get(row["label"], 0) + 1
    train, held_back = [], []
    for row in rows:
        label = row["label"]
        captions = captions_of(label)
        if not captions:
            continue
        photo = Photo(row["image"], captions, names_of(label))
        # Chosen by a hash of the name, so that the order of the lines does not matter.
        chosen = zlib.crc32(row["image"].encode()) % 100 < HELD_BACK_OF_100
        (held_back if chosen and count[label] >= LEAST_OF_CLASS else train).append(photo)
    return train, held_back


def named(caption: str, photo: Photo) -> bool:
    """Whether the caption contains one of the names as whole words, in the singular or plural."""
    padded = f" {caption} "
    return any(f" {name}{end} " in padded for name in photo.names for end in ("", "s", "es"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labels", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--said", type=argparse.FileType(), help="lines of `caption --json`; prints how many name the thing")
    args = parser.parse_args()
    _, held_back = read_photos(args.labels)
    if args.said is None:
        print("\n".join(str(args.images / photo.name) for photo in held_back))
        return
    said = {Path(row["file"]).name: row for row in map(json.loads, args.said)}
    right = [named(said[photo.name]["caption"], photo) for photo in held_back]
    kept = [is_right for photo, is_right in zip(held_back, right, strict=True) if not said[photo.name]["needs_review"]]
    print(f"{sum(right)} of {len(right)} named; of {len(kept)} not for review {sum(kept)}")


if __name__ == "__main__":
    main()
