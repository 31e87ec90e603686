"""Small tokenizers made by Hugging Face's libraries, and what these make of ours (tokenizers-python.test.ts).

    check_tokenizers.py make DIR           folders DIR/<kind>/{base,other}, of each kind two tokenizers of different texts
    check_tokenizers.py check BASE RESULT  reads {"tokens": by id, "plain": texts} on stdin; fails where RESULT does not load, numbers tokens
                                     otherwise, or cuts a plain text otherwise than BASE
    check_tokenizers.py render DIR...      reads [messages, add_generation_prompt] on stdin; prints each folder's chat, as JSON
"""

import io
import json
import os
import sys

import sentencepiece
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

BASE = ["the quick brown fox jumps over the lazy dog, and the dog sleeps on", "low lower lowest new newer newest wide"] * 20
OTHER = ["das schnelle braune Tier springt über den faulen Hund", "niedrig niedriger neu neuer weit weiter"] * 20
CHAT = ["<|im_start|>", "<|im_end|>"]


def bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return tokenizer, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, special_tokens=["<s>", "</s>"])


def wordpiece():
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer, trainers.WordPieceTrainer(vocab_size=90, special_tokens=["[PAD]", "[UNK]"])


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer, trainers.UnigramTrainer(vocab_size=80, special_tokens=["<unk>", "<s>"], unk_token="<unk>")


def train(make, texts, added, folder):
    tokenizer, trainer = make()
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    fast.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "additional_special_tokens": added})
    fast.save_pretrained(folder)


def train_sentencepiece(kind, texts, folder):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=60, model_type=kind, hard_vocab_limit=False, minloglevel=2
    )
    os.makedirs(folder)
    with open(os.path.join(folder, "tokenizer.model"), "wb") as file:
        file.write(model.getvalue())


def make(folder):
    for kind in [bpe, wordpiece, unigram]:
        train(kind, BASE, ["<pad>"], os.path.join(folder, kind.__name__, "base"))
        train(kind, OTHER, CHAT, os.path.join(folder, kind.__name__, "other"))
    for kind in ["bpe", "unigram"]:
        train_sentencepiece(kind, BASE, os.path.join(folder, f"sentencepiece_{kind}", "base"))
        train_sentencepiece(kind, OTHER, os.path.join(folder, f"sentencepiece_{kind}", "other"))


def check(base, result):
    wanted = json.load(sys.stdin)
    if not os.path.exists(os.path.join(base, "tokenizer.json")):
        return check_sentencepiece(base, result, wanted)
    before, after = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(result)
    for index, token in enumerate(wanted["tokens"]):
        if token is not None:
            found = after.convert_tokens_to_ids(token), after.convert_ids_to_tokens(index)
            assert found == (index, token), (token, index, found)
    for text in wanted["plain"]:
        ids = after.encode(text)
        assert ids == before.encode(text), (text, before.tokenize(text), after.tokenize(text))
        assert after.decode(ids) == before.decode(ids), text
    for token in wanted.get("special", []):
        assert after.encode(f"a{token}b").count(wanted["tokens"].index(token)) == 1, token


def check_sentencepiece(base, result, wanted):
    before, after = (
        sentencepiece.SentencePieceProcessor(model_file=os.path.join(folder, "tokenizer.model")) for folder in (base, result)
    )
    assert after.get_piece_size() == len(wanted["tokens"])
    for index, token in enumerate(wanted["tokens"]):
        assert after.piece_to_id(token) == index, (token, index)
    for text in wanted["plain"]:
        ids = after.encode(text)
        assert ids == before.encode(text), (text, before.encode(text, out_type=str), after.encode(text, out_type=str))
        assert after.decode(ids) == before.decode(ids), text


def render(*folders):
    messages, prompt = json.load(sys.stdin)
    options = {"tokenize": False, "add_generation_prompt": prompt}
    json.dump([AutoTokenizer.from_pretrained(folder).apply_chat_template(messages, **options) for folder in folders], sys.stdout)


if __name__ == "__main__":
    {"make": make, "check": check, "render": render}[sys.argv[1]](*sys.argv[2:])
