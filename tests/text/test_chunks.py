"""Prompts in chunks of 75 tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.text.chunks import CHUNK, LENGTH, chunk_prompt, count_tokens, empty_chunk, equalise
from webui.text.tokenizers import clip_tokenizer

TOKENIZER = clip_tokenizer()
CAT, DOG, COMMA = TOKENIZER.encode("cat dog ,")
BEGIN, END = TOKENIZER.begin, TOKENIZER.end


def chunks(text, **options):
    return chunk_prompt(text, TOKENIZER, **options)


def words(chunk):
    """The prompt's own tokens of a chunk."""
    return list(chunk.tokens[1 : chunk.tokens.index(END)])


def test_a_short_prompt_is_one_chunk_padded_with_the_end_token():
    (chunk,) = chunks("cat dog")
    assert chunk.tokens == (BEGIN, CAT, DOG, *[END] * 74)
    assert chunk.weights == (1.0,) * LENGTH


def test_the_tokens_equal_those_of_transformers_padding():
    from transformers import CLIPTokenizer

    vocabulary = TOKENIZER._backend.get_vocab()
    from webui.text.tokenizers import _vocabulary

    reference = CLIPTokenizer(vocabulary, _vocabulary()[1])
    text = "a photograph of an astronaut riding a horse"
    wanted = reference(text, padding="max_length", max_length=77)["input_ids"]
    assert list(chunks(text)[0].tokens) == wanted


def test_an_empty_prompt_is_one_empty_chunk():
    assert chunks("") == [empty_chunk(TOKENIZER)]


def test_openclip_pads_with_zero_after_the_first_end_token():
    assert chunks("cat")[0].padded(0) == (BEGIN, CAT, END, *[0] * 74)


def test_a_full_chunk_has_no_padding_and_keeps_its_end_token():
    (chunk,) = chunks("cat " * 75)
    assert chunk.tokens == (BEGIN, *[CAT] * 75, END)
    assert chunk.padded(0) == chunk.tokens


def test_longer_prompts_continue_in_the_next_chunk():
    first, second = chunks("cat " * 80)
    assert (len(words(first)), len(words(second))) == (75, 5)


def test_weights_stand_beside_their_tokens():
    (chunk,) = chunks("cat (dog:1.5) cat")
    assert chunk.weights[:5] == (1.0, 1.0, 1.5, 1.0, 1.0)


def test_break_ends_a_chunk():
    first, second = chunks("cat BREAK dog")
    assert (words(first), words(second)) == ([CAT], [DOG])


def test_a_break_at_the_end_adds_no_empty_chunk():
    assert len(chunks("cat BREAK")) == 1


def test_words_after_a_near_comma_move_to_the_next_chunk_together():
    first, second = chunks("cat " * 69 + ", " + "dog " * 8)
    assert words(first) == [CAT] * 69 + [COMMA]
    assert words(second) == [DOG] * 8


def test_a_comma_beyond_the_reach_moves_nothing():
    first, second = chunks("cat " * 69 + ", " + "dog " * 8, comma_backtrack=5)
    assert words(first) == [CAT] * 69 + [COMMA] + [DOG] * 5
    assert words(second) == [DOG] * 3


@pytest.mark.parametrize(("comma_at", "moved"), [(55, True), (54, False)])
def test_the_reach_counts_from_the_comma_itself(comma_at, moved):
    first, _ = chunks("cat " * comma_at + ", " + "dog " * (80 - comma_at), comma_backtrack=20)
    assert (len(words(first)) == comma_at + 1) is moved


def test_the_comma_rule_can_be_switched_off():
    first, _ = chunks("cat " * 69 + ", " + "dog " * 8, comma_backtrack=0)
    assert len(words(first)) == 75


def test_moved_words_keep_their_weights():
    _, second = chunks("cat " * 69 + ", (" + "dog " * 8 + ":1.5)")
    assert second.weights[1:10] == (*[1.5] * 8, 1.0)


def test_a_comma_right_after_a_full_chunk_starts_the_next():
    first, second = chunks("cat " * 74 + "dog, cat")
    assert (len(words(first)), words(second)) == (75, [COMMA, CAT])


def test_an_embedding_takes_as_many_places_as_it_has_vectors():
    (chunk,) = chunks("cat (my style:1.3) dog", embeddings={"My Style": 4})
    assert chunk.embeddings == ((2, "My Style"),)
    assert chunk.tokens[:8] == (BEGIN, CAT, 0, 0, 0, 0, DOG, END)
    assert chunk.weights[1:7] == (1.0, 1.3, 1.3, 1.3, 1.3, 1.0)


def test_the_spelling_with_a_prefix_stands_for_the_same_embedding():
    (chunk,) = chunks("cat embedding:badhands dog", embeddings={"badhands": 1})
    assert chunk.tokens[:5] == (BEGIN, CAT, 0, DOG, END)


def test_the_longest_embedding_name_wins():
    (chunk,) = chunks("my style v2", embeddings={"my style": 1, "my style v2": 2})
    assert chunk.embeddings == ((1, "my style v2"),)


def test_an_embedding_is_never_split():
    first, second = chunks("cat " * 73 + "mystyle", embeddings={"mystyle": 3})
    assert (len(words(first)), second.embeddings, second.tokens[:5]) == (73, ((1, "mystyle"),), (BEGIN, 0, 0, 0, END))


def test_an_embedding_after_a_near_comma_moves_as_a_whole():
    first, second = chunks("cat " * 69 + ", mystyle " + "dog " * 8, embeddings={"mystyle": 3})
    assert first.embeddings == ()
    assert second.embeddings == ((1, "mystyle"),)
    assert second.tokens[:13] == (BEGIN, 0, 0, 0, *[DOG] * 8, END)


def test_an_embedding_that_fits_no_chunk_is_an_error_that_names_it():
    with pytest.raises(InvalidRequest, match="'huge' has 76 vectors"):
        chunks("huge", embeddings={"huge": 76})


def test_shorter_prompts_get_empty_chunks():
    long, short = equalise([chunks("cat " * 160), chunks("dog")], TOKENIZER)
    assert (len(long), len(short), short[2]) == (3, 3, empty_chunk(TOKENIZER))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", (0, 75)),
        ("cat dog", (2, 75)),
        ("cat " * 75, (75, 75)),
        ("cat " * 76, (76, 150)),
        ("cat BREAK dog", (76, 150)),
        ("(cat:1.5) [dog]", (2, 75)),
        ("cat <lora:film:1>", (1, 75)),
        ("cat cat cat AND dog", (3, 75)),
        ("[cat:dog dog dog:0.5]", (3, 75)),
        ("cat " * 69 + ", " + "dog " * 8, (83, 150)),
    ],
)
def test_the_counter_follows_the_same_rules(text, count):
    assert count_tokens(text, TOKENIZER) == count


TEXT = st.text(alphabet="cat, ()[]:.1BREAK", max_size=300) | st.text(max_size=200)


@settings(max_examples=200, deadline=None)
@given(TEXT, st.integers(0, 75), st.sampled_from(["None", "Ignore", "Original", "No norm"]))
def test_every_chunk_has_77_tokens_and_weights(text, backtrack, emphasis):
    for chunk in chunks(text, comma_backtrack=backtrack, emphasis=emphasis, embeddings={"cat": 7}):
        assert len(chunk.tokens) == len(chunk.weights) == LENGTH
        assert (chunk.tokens[0], chunk.tokens[-1]) == (BEGIN, END)
        for index, name in chunk.embeddings:
            assert (name, chunk.tokens[index : index + 7]) == ("cat", (0,) * 7)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="cat, dog.", max_size=900), st.integers(0, 75))
def test_chunking_loses_and_reorders_no_token(text, backtrack):
    found = [token for chunk in chunks(text, comma_backtrack=backtrack) for token in words(chunk)]
    assert found == TOKENIZER.encode(text)


@settings(max_examples=100, deadline=None)
@given(TEXT)
def test_the_counted_room_is_that_of_the_chunks(text):
    plain = text.replace("[", "").replace("<", "").replace("AND", "")
    used, room = count_tokens(plain, TOKENIZER)
    assert room == CHUNK * len(chunks(plain))
    assert used <= room
