//! The gateway as a whole: a child process that is confined as it is in use, with real sockets on
//! the loopback at one side, and at the other a guest that is a `netstack` of the test's own. Nothing
//! here sleeps: everything waits for a descriptor, and gives up after half a minute.

mod child;
mod guest;
mod host;
mod inward;
mod outward;
mod process;
mod services;

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    if child::is_asked_for() {
        return child::main();
    }
    let tests: [(&str, fn()); 24] = [
        ("a_guest_gets_its_lease", services::a_guest_gets_its_lease),
        (
            "the_gateway_answers_pings_for_itself_only",
            services::the_gateway_answers_pings_for_itself_only,
        ),
        (
            "the_gateway_answers_arp_for_itself_only",
            services::the_gateway_answers_arp_for_itself_only,
        ),
        ("datagrams_go_out_and_come_back", services::datagrams_go_out_and_come_back),
        (
            "a_refused_datagram_is_answered_by_icmp",
            services::a_refused_datagram_is_answered_by_icmp,
        ),
        ("questions_reach_the_resolver", services::questions_reach_the_resolver),
        ("megabytes_come_back_as_they_were", inward::megabytes_come_back_as_they_were),
        ("frames_may_be_large", inward::frames_may_be_large),
        ("hundreds_of_clients_at_once", inward::hundreds_of_clients_at_once),
        ("a_client_that_comes_early_is_served", inward::a_client_that_comes_early_is_served),
        ("a_client_of_a_closed_port_is_reset", inward::a_client_of_a_closed_port_is_reset),
        ("resets_pass_both_ways", inward::resets_pass_both_ways),
        ("a_reset_after_the_end_makes_room", inward::a_reset_after_the_end_makes_room),
        (
            "a_reset_before_a_shut_window_makes_room",
            inward::a_reset_before_a_shut_window_makes_room,
        ),
        ("a_slow_reader_slows_the_guest", inward::a_slow_reader_slows_the_guest),
        ("beyond_the_limit_clients_wait", inward::beyond_the_limit_clients_wait),
        ("a_guest_reaches_a_server", outward::a_guest_reaches_a_server),
        ("a_server_may_finish_first", outward::a_server_may_finish_first),
        ("refusals_are_passed_on", outward::refusals_are_passed_on),
        ("what_is_forbidden_is_refused", outward::what_is_forbidden_is_refused),
        ("what_was_sent_last_arrives", process::what_was_sent_last_arrives),
        ("garbage_is_counted_and_changes_nothing", process::garbage_is_counted_and_changes_nothing),
        ("a_file_cannot_be_opened_any_more", process::a_file_cannot_be_opened_any_more),
        ("a_panic_is_told_in_one_line", process::a_panic_is_told_in_one_line),
    ];
    let trials =
        tests.into_iter().map(|(name, test)| Trial::test(name, move || run(test))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn run(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}
