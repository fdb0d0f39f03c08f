"""Routing: the first rule that matches takes the report, and says why the others did not."""

import pytest

from bridge.reports.routing import FIELDS, NoRule, Rule, route
from tests.unit.given import a_report

FINANCE = Rule("finance", "bpsk-dki", {"category": ("PEMBIAYAAN", "ASURANSI")}, element="consumer")
SOUTH = Rule("south", "bpsk-south", {"domicile": ("31.74*",), "anonymous": ("false",)})
REST = Rule("the rest", "bpsk-dki")
RULES = (FINANCE, SOUTH, REST)


def facts(**known: str) -> dict[str, str]:
    return {"source": "qlue", "category": "LAINNYA", "domicile": "", "area": "", "anonymous": "false", **known}


ROUTED = [
    (facts(category="ASURANSI"), "finance", "one of several accepted values"),
    (facts(category="ASURANSI", domicile="31.74.05"), "finance", "the first rule wins over a later one"),
    (facts(domicile="31.74.05"), "south", "begins with the pattern"),
    (facts(domicile="31.74"), "south", "is the pattern"),
    (facts(domicile="31.7"), "the rest", "shorter than the pattern"),
    (facts(domicile="31.74", anonymous="true"), "the rest", "all conditions must hold"),
    (facts(category="asuransi"), "the rest", "another spelling is another word"),
    (facts(category="PEMBIAYAAN "), "the rest", "a blank is not forgiven"),
    ({}, "the rest", "nothing known at all"),
]


@pytest.mark.parametrize(("known", "rule", "remark"), ROUTED)
def test_first_rule_all_of_whose_conditions_hold_takes_it(known: dict[str, str], rule: str, remark: str) -> None:
    assert route(known, RULES).rule.name == rule, remark


def test_explanation_has_a_line_for_each_rule_looked_at() -> None:
    assert route(facts(domicile="31.74.05"), RULES).explanation == (
        "finance: not taken, since category is 'LAINNYA', not one of PEMBIAYAAN, ASURANSI",
        "south: taken, since domicile = '31.74.05' and anonymous = 'false'",
    )
    assert route(facts(), RULES).explanation[-1] == "the rest: taken, since it takes everything"


def test_rule_is_passed_over_for_all_its_misses_in_one_line() -> None:
    assert route({}, (*RULES[1:2], REST)).explanation == (
        "south: not taken, since domicile is '', not one of 31.74* and anonymous is '', not one of false",
        "the rest: taken, since it takes everything",
    )


def test_rule_that_asks_for_what_is_unknown_takes_what_is_unknown() -> None:
    unknown = Rule("unknown", "here", {"area": ("",)})
    assert route({}, (unknown,)).explanation == ("unknown: taken, since area = ''",)


def test_explanation_names_every_condition_that_failed() -> None:
    passed_over = route(facts(domicile="32.01", anonymous="true"), RULES).explanation[1]
    assert "domicile is '32.01'" in passed_over
    assert "anonymous is 'true'" in passed_over


@pytest.mark.parametrize("rules", [(), (FINANCE, SOUTH)], ids=["no rules", "none matches"])
def test_report_no_rule_takes_is_an_error_with_the_remedy(rules: tuple[Rule, ...]) -> None:
    with pytest.raises(NoRule, match="^no routing rule takes this report; add a last rule without conditions$"):
        route(facts(), rules)


def test_pattern_of_a_star_alone_accepts_also_what_is_unknown() -> None:
    assert route({}, (Rule("any", "here", {"area": ("*",)}),)).rule.name == "any"


def test_report_offers_exactly_the_facts_rules_may_ask_about() -> None:
    report = a_report(reporter={"domicile": "31.74", "anonymous": True}, location={"area": None})
    assert report.facts == {
        "source": "qlue",
        "category": "PEMBIAYAAN",
        "domicile": "31.74",
        "area": "",
        "anonymous": "true",
    }
    assert tuple(report.facts) == FIELDS
