"""What holds on SQLite holds on PostgreSQL: deliveries, outbox, inbox, keys, runs and services, whole conversations.

The tests are those of SQLite themselves; here the settings name the other database.
"""

from tests.integration.test_deploying import (
    test_a_service_answers_with_its_new_model,
    test_the_list_says_what_was_asked,
)
from tests.integration.test_loops import (
    test_a_clean_end_stops_the_hosts_and_the_next_start_brings_them_back,
    test_a_deleted_thread_loses_its_card_and_nothing_else,
    test_a_killed_trainer_fails_with_its_log_and_a_retry_resumes,
    test_a_run_becomes_a_service_that_the_thread_talks_to,
    test_runs_queue_one_at_a_time_and_say_who_goes_first,
)
from tests.integration.test_many_threads import test_fifty_threads_are_answered_each_with_its_own_word
from tests.integration.test_talking import (
    life,
    test_an_answer_whose_server_was_killed_is_marked_and_can_be_asked_again,
    test_compare_asks_both,
    test_two_messages_in_a_thread_are_answered_one_after_the_other,
)
from tests.integration.web.test_server import test_what_was_said_is_there_after_a_kill
from tests.unit.slack.test_inbox import (
    hand,
    inbox,
    store,
    test_what_cannot_be_done_now_is_done_later_and_holds_back_its_thread_alone,
    test_what_could_not_be_kept_is_not_acknowledged,
)
from tests.unit.test_delivery import (
    post,
    test_a_message_that_waits_holds_back_those_after_it,
    test_a_state_that_must_wait_holds_back_nothing,
)
from tests.unit.test_dialogs_keys import (
    talk,
    test_a_key_is_limited_to_services_that_its_person_may_use,
    test_keys_are_listed_revoked_and_named_anew,
)

__all__ = [
    "hand",
    "inbox",
    "life",
    "post",
    "store",
    "talk",
    "test_a_clean_end_stops_the_hosts_and_the_next_start_brings_them_back",
    "test_a_deleted_thread_loses_its_card_and_nothing_else",
    "test_a_key_is_limited_to_services_that_its_person_may_use",
    "test_a_killed_trainer_fails_with_its_log_and_a_retry_resumes",
    "test_a_message_that_waits_holds_back_those_after_it",
    "test_a_run_becomes_a_service_that_the_thread_talks_to",
    "test_a_service_answers_with_its_new_model",
    "test_a_state_that_must_wait_holds_back_nothing",
    "test_an_answer_whose_server_was_killed_is_marked_and_can_be_asked_again",
    "test_compare_asks_both",
    "test_fifty_threads_are_answered_each_with_its_own_word",
    "test_keys_are_listed_revoked_and_named_anew",
    "test_runs_queue_one_at_a_time_and_say_who_goes_first",
    "test_the_list_says_what_was_asked",
    "test_two_messages_in_a_thread_are_answered_one_after_the_other",
    "test_what_cannot_be_done_now_is_done_later_and_holds_back_its_thread_alone",
    "test_what_could_not_be_kept_is_not_acknowledged",
    "test_what_was_said_is_there_after_a_kill",
]
