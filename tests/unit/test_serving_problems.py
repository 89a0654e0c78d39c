"""Why a host failed, in a sentence."""

from bot.serving_problems import host_sentence
from bot.texts import texts

WORDS = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."


def test_a_code_is_a_sentence_with_the_clusters_own_words_below() -> None:
    assert host_sentence(texts("en"), f"no_node\n{WORDS}").splitlines() == [texts("en")("host.no_node"), WORDS]
    assert host_sentence(texts("zh-CN"), "killed") == texts("zh-CN")("host.killed")


def test_what_has_no_sentence_stands_as_it_was_said() -> None:
    assert host_sentence(texts("en"), "vllm: exit code 3") == "vllm: exit code 3"
    assert host_sentence(texts("en"), None) == ""
