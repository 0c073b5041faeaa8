"""What the Korean site has of its own: how words are found, titles, and the theme's texts in Korean.

Words are found without the particles at their ends, and compounds with and without spaces.
"""

import re
from gettext import NullTranslations

PARTICLES = (
    "에서는", "에서의", "으로는", "으로서", "으로써", "이라는", "에서", "으로", "까지", "부터", "처럼", "보다", "마다", "에는",
    "에게", "이나", "이란", "라는", "은", "는", "이", "가", "을", "를", "의", "에", "로", "와", "과", "도", "만",
)  # fmt: skip
"""Longest first: a word loses the first that it ends with, if two syllables are left."""

WORD = re.compile(r"[\w가-힣]+")
HANGUL = re.compile(r"[가-힣]")


def without_particle(word: str) -> str:
    """A noun as a reader types it: 순전파는, 순전파를 and 순전파 are one word."""
    for particle in PARTICLES:
        if word.endswith(particle) and len(word) - len(particle) >= 2:
            return word.removesuffix(particle)
    return word


def words(text: str) -> list[str]:
    """The words of a text, in Korean or English, and pairs of Korean nouns as compounds.

    Writers and readers differ in where they put spaces: 경사 하강법 is also found as 경사하강법. The first
    noun of a compound has no particle.
    """
    found = []
    noun = ""  # the word before, if it may begin a compound
    end = 0
    for match in WORD.finditer(text):
        word = match[0]
        bare = word
        if HANGUL.search(word):
            bare = without_particle(word)
            if noun and text[end : match.start()] == " ":
                found.append(noun + bare)
        found.append(bare)
        noun = word if HANGUL.fullmatch(word[-1]) and bare == word else ""
        end = match.end()
    return found


# --- titles -----------------------------------------------------------------------------------------

TITLES = {
    "Backends": "백엔드",
    "Automatic differentiation": "자동 미분",
    "Compiled steps": "컴파일된 학습 단계",
    "Random numbers": "난수",
    "Errors": "오류",
    "Activations": "활성화 함수",
    "Losses": "손실 함수",
    "Functions of networks": "신경망의 함수",
    "Elementwise functions": "원소별 함수",
    "Sums and statistics": "합과 통계",
    "Products": "행렬곱과 내적",
    "Shapes and places": "형상과 인덱싱",
    "Searching, sorting and sets": "검색, 정렬, 집합",
    "New arrays and dtypes": "배열 생성과 자료형",
    "Linear algebra": "선형대수",
    "Fourier transforms": "푸리에 변환",
    "Special functions": "특수 함수",
    "Layers and containers": "계층과 컨테이너",
    "Affine, embedding, dropout, shapes": "어파인, 임베딩, 드롭아웃, 형상",
    "Activation layers": "활성화 함수 계층",
    "Convolution and pooling": "합성곱과 풀링",
    "Normalization": "정규화",
    "Recurrent layers": "순환 신경망 계층",
    "Attention and Transformers": "어텐션과 트랜스포머",
    "Initial values": "가중치의 초깃값",
    "Whole networks": "완성된 신경망",
    "Summary": "신경망 요약",
    "Optimizers": "옵티마이저",
    "Learning rate schedules": "학습률 스케줄",
    "Metrics": "평가 지표",
    "Data": "데이터",
    "Transforms of images": "이미지 변환",
    "Training": "학습",
    "Many processes": "여러 프로세스",
    "Saving, PyTorch, Keras, ONNX": "저장, PyTorch, Keras, ONNX",
    "Modules of PyTorch": "PyTorch 모듈",
    "Estimators for scikit-learn": "scikit-learn 추정기",
    "Plots": "그림",
    "Report": "보고서",
    "Testing derivatives": "미분 검증",
    "The names of the lessons": "강의에서 쓰는 이름",
    "Command line": "명령줄",
    "What the namespace can do": "지원 범위",
    "What the standard's own suite finds": "표준 적합성",
}
"""Of the pages of the reference, which no Korean page lists; those of other pages are where they are listed."""

PARTS = {
    "Core": "핵심",
    "Functions": "함수",
    "Networks": "신경망",
    "Training": "학습",
    "Around": "저장, 연동, 그림, 검증",
    "Command line and standard": "명령줄과 표준",
}
"""Of the index of the reference."""

OF_THE_REFERENCE = (
    "모든 공개 이름의 인수, 형상, 오류와 예를 장별로 설명합니다. 이 설명은 소스 코드의 docstring이고 영어로 되어 있습니다. 아래의 제목은 영어 "
    "페이지로 이어집니다. 이름은 가장 짧은 곳에서 설명합니다. `xpnet.layers.Conv2d`는 `xpnet.Conv2d`에 있습니다. `F`는 `xpnet.functions`입니다. 책이나 "
    "DeZero의 이름으로 찾으려면 [책의 용어와 xpnet의 용어](../lessons/words.md)를 보세요."
)


# --- the theme's texts ------------------------------------------------------------------------------

FURO = {
    "Next": "다음",
    "Previous": "이전",
    "Home": "처음",
    "On this page": "이 페이지의 차례",
    "Back to top": "맨 위로",
    "Skip to content": "본문으로 건너뛰기",
    "Made with ": "만든 도구: ",
    '<a href="https://www.sphinx-doc.org/">Sphinx</a> and ': (
        '<a href="https://www.sphinx-doc.org/">Sphinx</a>, '
    ),
    "Link to this heading": "이 절의 링크",
    "Link to this definition": "이 항목의 링크",
}
"""What the theme and Sphinx ask their catalogues for, and these do not have in Korean."""

LABELS = {
    "Toggle site navigation sidebar": "사이트 메뉴 여닫기",
    "Toggle table of contents sidebar": "이 페이지의 차례 여닫기",
    "Toggle Light / Dark / Auto color theme": "밝게, 어둡게, 자동 가운데 고르기",
    "<title>Contents</title>": "<title>차례</title>",
    "<title>Menu</title>": "<title>메뉴</title>",
    "<title>Expand</title>": "<title>펼치기</title>",
    "<title>Light mode</title>": "<title>밝게</title>",
    "<title>Dark mode</title>": "<title>어둡게</title>",
    "<title>Auto light/dark, in light mode</title>": "<title>자동, 지금은 밝게</title>",
    "<title>Auto light/dark, in dark mode</title>": "<title>자동, 지금은 어둡게</title>",
    'aria-label="Toggle navigation of ': 'aria-label="하위 메뉴 여닫기: ',
}
"""What the theme writes in English whatever the language is."""


class Texts(NullTranslations):
    """The catalogue that is asked after Sphinx's own."""

    def gettext(self, message: str) -> str:
        return FURO.get(message, message)
