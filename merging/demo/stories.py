"""Word problems of the demo pack, told in English and in Japanese, with worked answers.

Names, things with their Japanese counters, and stories of addition and subtraction combine freely; every story exists in
both languages. This file knows nothing of training mixes, splits or models.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

Language = Literal["en", "ja"]
Operation = Literal["addition", "subtraction"]

OPERATIONS: tuple[Operation, ...] = ("addition", "subtraction")
SIGN: dict[Operation, str] = {"addition": "+", "subtraction": "-"}


@dataclass(frozen=True)
class Thing:
    """Something that can be counted; `counter` is the Japanese counter word that it takes."""

    one: str
    many: str
    japanese: str
    counter: str


@dataclass(frozen=True)
class Template:
    """One situation in both languages: the scene, and the question that it leads to.

    Fields: `n`, `m` names; `a` number with thing (English) or with counter (Japanese); `b` second number; `t` the thing.
    """

    operation: Operation
    scene_en: str
    ask_en: str
    scene_ja: str
    ask_ja: str


NAMES: tuple[tuple[str, str], ...] = (
    ("Ken", "健"), ("Mika", "ミカ"), ("Taro", "太郎"), ("Yuki", "ユキ"), ("Aoi", "葵"), ("Sora", "空"),
    ("Emi", "エミ"), ("Jun", "ジュン"), ("Rina", "リナ"), ("Daiki", "大樹"), ("Nao", "直"), ("Kaito", "海斗"),
    ("Saki", "咲"), ("Haru", "春"), ("Anna", "アンナ"), ("Leo", "レオ"),
)  # fmt: skip

THINGS: tuple[Thing, ...] = (
    Thing("apple", "apples", "りんご", "個"), Thing("orange", "oranges", "みかん", "個"), Thing("egg", "eggs", "卵", "個"),
    Thing("ball", "balls", "ボール", "個"), Thing("stone", "stones", "石", "個"), Thing("pencil", "pencils", "鉛筆", "本"),
    Thing("rose", "roses", "ばら", "本"), Thing("bottle", "bottles", "びん", "本"), Thing("umbrella", "umbrellas", "傘", "本"),
    Thing("card", "cards", "カード", "枚"), Thing("stamp", "stamps", "切手", "枚"), Thing("plate", "plates", "皿", "枚"),
    Thing("book", "books", "本", "冊"), Thing("notebook", "notebooks", "ノート", "冊"),
    Thing("toy car", "toy cars", "ミニカー", "台"), Thing("bicycle", "bicycles", "自転車", "台"),
)  # fmt: skip

TEMPLATES: tuple[Template, ...] = (
    Template("addition", "{n} has {a} and gets {b} more.", "How many {t} does {n} have now?",
             "{n}は{t}を{a}持っていて、{b}もらいました。", "今、全部で何{c}ですか。"),
    Template("addition", "There are {a} in a box. {n} puts in {b} more.", "How many {t} are in the box now?",
             "箱に{t}が{a}あります。{n}が{b}入れました。", "箱の中は何{c}ですか。"),
    Template("addition", "{n} has {a} and {m} has {b}.", "How many {t} do they have together?",
             "{n}は{t}を{a}、{m}は{b}持っています。", "合わせて何{c}ですか。"),
    Template("addition", "{n} bought {a} on Monday and {b} on Friday.", "How many {t} in all?",
             "{n}は月曜に{t}を{a}、金曜に{b}買いました。", "全部で何{c}買いましたか。"),
    Template("addition", "A shop had {a}. Then {b} arrived.", "How many {t} does the shop have now?",
             "店に{t}が{a}ありました。{b}届きました。", "店には何{c}ありますか。"),
    Template("addition", "{n} found {a}. {m} found {b} more than {n}.", "How many {t} did {m} find?",
             "{n}は{t}を{a}見つけました。{m}はそれより{b}多く見つけました。", "{m}は何{c}見つけましたか。"),
    Template("subtraction", "{n} has {a} and gives {b} to {m}.", "How many {t} does {n} have left?",
             "{n}は{t}を{a}持っていて、{m}に{b}あげました。", "残りは何{c}ですか。"),
    Template("subtraction", "There are {a} in a box. {n} takes out {b}.", "How many {t} are left in the box?",
             "箱に{t}が{a}あります。{n}が{b}取り出しました。", "箱の残りは何{c}ですか。"),
    Template("subtraction", "{n} has {a} and {m} has {b}.", "How many more {t} does {n} have than {m}?",
             "{n}は{t}を{a}、{m}は{b}持っています。", "{n}は{m}より何{c}多いですか。"),
    Template("subtraction", "{n} bought {a} and lost {b}.", "How many {t} remain?",
             "{n}は{t}を{a}買い、{b}なくしました。", "何{c}残っていますか。"),
    Template("subtraction", "A shop had {a}. It sold {b}.", "How many {t} are still in the shop?",
             "店に{t}が{a}ありました。{b}売れました。", "店の残りは何{c}ですか。"),
    Template("subtraction", "{n} needs {a} and has {b}.", "How many more {t} does {n} need?",
             "{n}は{t}が{a}必要で、今{b}あります。", "あと何{c}必要ですか。"),
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """A template with its names, thing and numbers; for subtraction `first` is never the smaller number."""

    template: Template
    names: tuple[str, str]
    friends: tuple[str, str]
    thing: Thing
    first: int
    second: int

    @property
    def operation(self) -> Operation:
        return self.template.operation

    @property
    def result(self) -> int:
        return _value(self.operation, self.first, self.second)

    def scene(self, language: Language) -> str:
        """What happens, without a question."""
        template = self.template.scene_en if language == "en" else self.template.scene_ja
        return self._fill(template, language)

    def question(self, language: Language) -> str:
        """The whole word problem."""
        ask = self._fill(self.template.ask_en if language == "en" else self.template.ask_ja, language)
        return f"{self.scene(language)} {ask}" if language == "en" else self.scene(language) + ask

    def answer(self, language: Language) -> str:
        """The worked answer: language-neutral steps between words of one language."""
        steps = work(self.operation, self.first, self.second)
        if language == "en":
            return f"Work {steps}.The answer is {self.result}."
        return f"計算{steps}。答えは{self.result}{self.thing.counter}です。"

    def _fill(self, template: str, language: Language) -> str:
        thing, english = self.thing, language == "en"
        nouns = thing.one if self.first == 1 else thing.many
        return template.format(
            n=self.names[0] if english else self.names[1],
            m=self.friends[0] if english else self.friends[1],
            t=thing.many if english else thing.japanese,
            c=thing.counter,
            a=f"{self.first} {nouns}" if english else f"{self.first}{thing.counter}",
            b=f"{self.second}" if english else f"{self.second}{thing.counter}",
        )


def work(operation: Operation, first: int, second: int) -> str:
    """The calculation digit by digit, units first, with carry or borrow; one-digit sums in one step."""
    if first < 10 and second < 10:
        return f"{first}{SIGN[operation]}{second}={_value(operation, first, second)}"
    steps = [f"{column}={_value_of(column)}" for column in columns_of(operation, first, second).split(",")]
    return f"{first}{SIGN[operation]}{second}:{','.join(steps)}"


def columns_of(operation: Operation, first: int, second: int) -> str:
    """The units and the tens of two two-digit numbers, with carry or borrow, not yet calculated: `5+7,8+4+1`."""
    units, tens = (first % 10, second % 10), (first // 10, second // 10)
    if operation == "addition":
        return f"{units[0]}+{units[1]},{tens[0]}+{tens[1]}" + ("+1" if sum(units) >= 10 else "")
    borrow = units[0] < units[1]
    return f"{units[0] + 10 * borrow}-{units[1]},{tens[0]}-{tens[1]}" + ("-1" if borrow else "")


def _value(operation: Operation, first: int, second: int) -> int:
    return first + second if operation == "addition" else first - second


def _value_of(column: str) -> int:
    if "+" in column:
        return sum(int(digit) for digit in column.split("+"))
    first, *rest = (int(digit) for digit in column.split("-"))
    return first - sum(rest)


def tell(rng: Random, operation: Operation, first: int, second: int) -> Story:
    """A random story with these numbers."""
    template = rng.choice([template for template in TEMPLATES if template.operation == operation])
    names, friends = rng.sample(NAMES, 2)
    return Story(template, names, friends, rng.choice(THINGS), first, second)
