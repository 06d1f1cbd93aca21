"""Organ names in other languages, and how each language writes left and right.

Read by ``organs``. Spellings need no accents: "Rückenmark", "Ruckenmark" and "Rueckenmark" are found by one entry. A side that is a
single letter (French "G", Spanish "I", Portuguese "E", "D" in all of them) or an abbreviation that means something else in English
("re", "dir", "sin") counts only beside a word of its own language: "Parotid_DIR" may be a registered contour and "Parotid_G" a gland.
"Medulla" alone is left out: it may be the spinal cord or the medulla oblongata.
"""

from __future__ import annotations

LATIN, GERMAN, FRENCH, SPANISH, ITALIAN, DUTCH, PORTUGUESE = "la", "de", "fr", "es", "it", "nl", "pt"

# words that mean a side beside any organ's name
LEFT_WORDS = (
    "l", "lt", "lft", "left", "links", "linke", "linker", "linkes", "sinistra", "sinister", "sinistrum", "sinistro", "gauche",
    "izquierda", "izquierdo", "esquerda", "esquerdo",
)  # fmt: skip
RIGHT_WORDS = (
    "r", "rt", "rgt", "right", "rechts", "rechte", "rechter", "rechtes", "dextra", "dexter", "dextrum", "destra", "destro", "droit",
    "droite", "derecha", "derecho", "direita", "direito",
)  # fmt: skip

# language -> (left, right): short forms that count only beside an organ's name in that language
SHORT_SIDES = {
    LATIN: (("sin",), ("dex", "dext", "dx")),
    GERMAN: (("li", "lks"), ("re", "rts")),
    FRENCH: (("g", "gche"), ("d", "dt", "dte")),
    SPANISH: (("i", "izq", "izqda", "izqdo", "izda", "izdo"), ("d", "der", "dcha", "dcho")),
    ITALIAN: (("sx", "sin", "sn"), ("d", "dx", "dex")),
    DUTCH: (("li",), ("re",)),
    PORTUGUESE: (("e", "esq"), ("d", "dir")),
}

# TG-263 name (without a pair's side) -> language -> names
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Brainstem": {
        LATIN: ("Truncus encephali", "Truncus encephalicus"),
        GERMAN: ("Stammhirn",),
        FRENCH: ("Tronc cérébral", "Tronc"),
        SPANISH: ("Tronco encefálico", "Tronco del encéfalo", "Tronco cerebral", "Tallo cerebral"),
        ITALIAN: ("Tronco encefalico", "Tronco dell'encefalo", "Tronco cerebrale", "Tronco dell encefalo"),
        DUTCH: ("Hersenstam",),
        PORTUGUESE: ("Tronco cerebral", "Tronco encefálico"),
    },
    "SpinalCord": {
        LATIN: ("Medulla spinalis",),
        GERMAN: ("Myelon", "Rückenmark"),
        FRENCH: ("Moelle épinière", "Moelle"),
        SPANISH: ("Médula espinal", "Médula"),
        ITALIAN: ("Midollo spinale", "Midollo"),
        DUTCH: ("Ruggenmerg", "Myelum"),
        PORTUGUESE: ("Medula espinhal", "Medula espinal", "Medula"),
    },
    "OpticChiasm": {
        GERMAN: ("Sehnervenkreuzung", "Sehnervkreuzung"),
        FRENCH: ("Chiasma optique",),
        SPANISH: ("Quiasma óptico", "Quiasma"),
        ITALIAN: ("Chiasma ottico",),
        DUTCH: ("Optisch chiasma",),
        PORTUGUESE: ("Quiasma óptico", "Quiasma ótico"),
    },
    "Pituitary": {
        LATIN: ("Glandula pituitaria",),
        GERMAN: ("Hirnanhangdrüse", "Hypophyse"),
        FRENCH: ("Hypophyse", "Glande pituitaire"),
        SPANISH: ("Hipófisis", "Glándula pituitaria", "Pituitaria"),
        ITALIAN: ("Ipofisi", "Ghiandola pituitaria"),
        DUTCH: ("Hypofyse",),
        PORTUGUESE: ("Hipófise", "Glândula pituitária", "Pituitária"),
    },
    "Bone_Mandible": {
        LATIN: ("Mandibula",),
        GERMAN: ("Unterkiefer", "Unterkieferknochen"),
        FRENCH: ("Mandibule", "Maxillaire inférieur"),
        SPANISH: ("Mandíbula", "Maxilar inferior"),
        ITALIAN: ("Mandibola",),
        DUTCH: ("Onderkaak", "Mandibula"),
        PORTUGUESE: ("Mandíbula",),
    },
    "Esophagus": {
        LATIN: ("Oesophagus",),
        GERMAN: ("Speiseröhre", "Ösophagus"),
        FRENCH: ("Oesophage",),
        SPANISH: ("Esófago",),
        ITALIAN: ("Esofago",),
        DUTCH: ("Slokdarm", "Oesofagus"),
        PORTUGUESE: ("Esôfago", "Esófago"),
    },
    "Larynx": {
        GERMAN: ("Kehlkopf",),
        SPANISH: ("Laringe",),
        ITALIAN: ("Laringe",),
        DUTCH: ("Strottenhoofd", "Strottehoofd"),
        PORTUGUESE: ("Laringe",),
    },
    "Brain": {
        LATIN: ("Encephalon",),
        GERMAN: ("Gehirn", "Hirn"),
        FRENCH: ("Cerveau", "Encéphale"),
        SPANISH: ("Cerebro", "Encéfalo"),
        ITALIAN: ("Cervello", "Encefalo"),
        DUTCH: ("Hersenen",),
        PORTUGUESE: ("Cérebro", "Encéfalo"),
    },
    "SpinalCanal": {
        LATIN: ("Canalis vertebralis", "Canalis spinalis"),
        GERMAN: ("Spinalkanal", "Wirbelkanal"),
        FRENCH: ("Canal médullaire", "Canal rachidien", "Canal vertébral"),
        SPANISH: ("Canal medular", "Canal espinal", "Canal raquídeo"),
        ITALIAN: ("Canale midollare", "Canale spinale", "Canale vertebrale"),
        DUTCH: ("Wervelkanaal", "Spinaalkanaal", "Ruggenmergkanaal"),
        PORTUGUESE: ("Canal medular", "Canal espinhal", "Canal vertebral"),
    },
    "Eye": {
        LATIN: ("Bulbus oculi", "Bulbus", "Oculus"),
        GERMAN: ("Auge", "Augapfel", "Bulbus"),
        FRENCH: ("Oeil", "Globe oculaire"),
        SPANISH: ("Ojo", "Globo ocular"),
        ITALIAN: ("Occhio", "Bulbo oculare", "Globo oculare", "Bulbo"),
        DUTCH: ("Oog", "Oogbol"),
        PORTUGUESE: ("Olho", "Globo ocular"),
    },
    "Lens": {
        LATIN: ("Lens", "Lens cristallina", "Lens crystallina"),
        GERMAN: ("Linse", "Augenlinse", "Lens"),
        FRENCH: ("Cristallin", "Crist"),
        SPANISH: ("Cristalino", "Crist", "Lente"),
        ITALIAN: ("Cristallino", "Crist", "Lente"),
        DUTCH: ("Ooglens", "Lens"),
        PORTUGUESE: ("Cristalino", "Crist", "Lente"),
    },
    "OpticNrv": {
        LATIN: ("Nervus opticus", "N opticus", "Opticus"),
        GERMAN: ("Sehnerv", "N opticus", "Opticus", "Nervus opticus"),
        FRENCH: ("Nerf optique", "N optique", "Nerf opt"),
        SPANISH: ("Nervio óptico", "N óptico", "Nervio opt"),
        ITALIAN: ("Nervo ottico", "N ottico"),
        DUTCH: ("Oogzenuw", "Optische zenuw", "N opticus", "Nervus opticus"),
        PORTUGUESE: ("Nervo óptico", "Nervo ótico", "N óptico"),
    },
    "Lobe_Temporal": {
        LATIN: ("Lobus temporalis",),
        GERMAN: ("Temporallappen", "Schläfenlappen"),
        FRENCH: ("Lobe temporal",),
        SPANISH: ("Lóbulo temporal", "Lobo temporal"),
        ITALIAN: ("Lobo temporale",),
        DUTCH: ("Temporaalkwab", "Temporale kwab"),
        PORTUGUESE: ("Lobo temporal",),
    },
    "Parotid": {
        LATIN: ("Glandula parotis", "Glandula parotidea", "Parotis", "Gl parotis", "Gl parotidea"),
        GERMAN: ("Ohrspeicheldrüse", "Parotis", "Parotisdrüse", "Ohrspeichel"),
        FRENCH: ("Parotide", "Glande parotide"),
        SPANISH: ("Parótida", "Glándula parótida"),
        ITALIAN: ("Parotide", "Ghiandola parotide"),
        DUTCH: ("Parotis", "Oorspeekselklier", "Parotisklier"),
        PORTUGUESE: ("Parótida", "Glândula parótida"),
    },
    "Ear_Internal": {
        LATIN: ("Auris interna",),
        GERMAN: ("Innenohr",),
        FRENCH: ("Oreille interne",),
        SPANISH: ("Oído interno",),
        ITALIAN: ("Orecchio interno",),
        DUTCH: ("Binnenoor",),
        PORTUGUESE: ("Ouvido interno", "Orelha interna"),
    },
    "Ear_Middle": {
        LATIN: ("Auris media",),
        GERMAN: ("Mittelohr", "Paukenhöhle"),
        FRENCH: ("Oreille moyenne", "Caisse du tympan"),
        SPANISH: ("Oído medio",),
        ITALIAN: ("Orecchio medio",),
        DUTCH: ("Middenoor",),
        PORTUGUESE: ("Ouvido médio", "Orelha média"),
    },
    "Joint_TM": {
        LATIN: ("Articulatio temporomandibularis",),
        GERMAN: ("Kiefergelenk",),
        FRENCH: ("ATM", "Articulation temporo-mandibulaire"),
        SPANISH: ("ATM", "Articulación temporomandibular"),
        ITALIAN: ("ATM", "Articolazione temporo-mandibolare"),
        DUTCH: ("Kaakgewricht",),
        PORTUGUESE: ("ATM", "Articulação temporomandibular"),
    },
    "Glnd_Submand": {
        LATIN: ("Glandula submandibularis", "Gl submandibularis", "Submandibularis"),
        GERMAN: ("Unterkieferspeicheldrüse", "Unterkieferdrüse", "Submandibularis", "Submandibulardrüse"),
        FRENCH: (
            "Sous-maxillaire", "Glande sous-maxillaire", "Sous-mandibulaire", "Glande sous-mandibulaire", "Submandibulaire",
            "Glande submandibulaire",
        ),
        SPANISH: ("Submandibular", "Glándula submandibular", "Submaxilar", "Glándula submaxilar"),
        ITALIAN: (
            "Sottomandibolare", "Ghiandola sottomandibolare", "Sottomascellare", "Ghiandola sottomascellare",
            "Ghiandola submandibolare", "Submandibolare",
        ),
        DUTCH: ("Onderkaakspeekselklier", "Submandibularis", "Submandibulaire klier"),
        PORTUGUESE: ("Submandibular", "Glândula submandibular", "Submaxilar"),
    },
    "Cochlea": {
        LATIN: ("Cochlea",),
        GERMAN: ("Hörschnecke", "Schnecke", "Cochlea"),
        FRENCH: ("Cochlée",),
        SPANISH: ("Cóclea",),
        ITALIAN: ("Coclea",),
        DUTCH: ("Slakkenhuis", "Cochlea"),
        PORTUGUESE: ("Cóclea",),
    },
    "Glnd_Lacrimal": {
        LATIN: ("Glandula lacrimalis", "Gl lacrimalis"),
        GERMAN: ("Tränendrüse",),
        FRENCH: ("Glande lacrymale", "Lacrymale"),
        SPANISH: ("Glándula lagrimal", "Lagrimal"),
        ITALIAN: ("Ghiandola lacrimale", "Lacrimale"),
        DUTCH: ("Traanklier",),
        PORTUGUESE: ("Glândula lacrimal", "Glândula lagrimal"),
    },
    "Lung": {
        LATIN: ("Pulmo",),
        GERMAN: ("Lunge", "Lungenflügel"),
        FRENCH: ("Poumon",),
        SPANISH: ("Pulmón",),
        ITALIAN: ("Polmone",),
        PORTUGUESE: ("Pulmão",),
    },
}  # fmt: skip

# what programs that contour by themselves add before or after an organ's name: RayStation MBS, Limbus, MVision, MIM, TheraPanacea ...
# "DL" is not here: it is also the parotid's deep lobe.
VENDOR_WORDS = frozenset({
    "ai", "mbs", "auto", "autoseg", "autocontour", "dlc", "dls", "limbus", "limbusai", "mvision", "protegeai", "protege", "mirada",
    "raystation", "artplan", "therapanacea", "accucontour", "annotate", "radformation", "syngo", "mim", "velocity", "abas",
})  # fmt: skip

# a name with one of these is a margin, a crop or a target: it is not even guessed at
NO_ORGAN_WORDS = frozenset({
    "ptv", "ctv", "gtv", "itv", "prv", "ring", "avoid", "plus", "minus", "crop", "not", "margin", "exp", "mm", "cm", "body",
    "external",
})  # fmt: skip
