"""What local tasks of the harness compute."""


def process_docs(dataset):
    return dataset.map(lambda doc: {"question": doc["question"].strip()})


def which(doc):
    return doc["label"]


def ending(doc):
    return doc["sentence"].split("_")[1].strip()


def beginnings(doc):
    return [doc["sentence"].split("_")[0] + option for option in doc["options"]]


def own_scores(doc, results):
    if "!" in results[0]:
        raise RuntimeError("this function cannot read an exclamation mark")
    share = min(1.0, len(results[0]) / 10)
    return {"share": share, "distance": share, "percent": 100 * share, "bleu": (doc["text"], results[0])}
