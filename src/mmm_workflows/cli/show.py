"""Results on the screen: tables and sentences, every estimate with its interval."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from mmm_workflows.cli.session import screen
from mmm_workflows.mmm.figures import figure, interval, percent, probability
from mmm_workflows.mmm.history import SHOWN
from mmm_workflows.mmm.material import visible
from mmm_workflows.mmm.results import Estimate
from mmm_workflows.records import Json


def show_result(result: Json) -> None:
    """Whatever a workflow returned."""
    for key, show in (
        ("research_plan", _research),
        ("quality_report", _eda),
        ("model_spec", _modeling),
        ("scenario_results", _whatif),
        ("plans", _track),
        ("named_figures", _ask),
    ):
        if key in result:
            show(result)
    for part in ("research", "eda", "modeling", "whatif"):
        if part in result:
            screen.rule(part.capitalize(), align="left")
            show_result(result[part])
            error = result[part].get("error")
            if error is not None:
                _say(f"Refused: {error['message']} ({error['code']})")


def _research(result: Json) -> None:
    _say(result["synthesis"])
    # A run of an earlier version has none.
    for experiment in result.get("experiments", []):
        _say(f"  open     {experiment['said']}")
    if result["web_search"] == "off":
        return
    _say("")
    _say(result["evidence_report"])
    for outcome in result["web_outcomes"]:
        _say(f"  {outcome['code']:<20}{outcome['message']}")
    for prior in result["research_plan"]["priors"]:
        _say(
            f"  proposed prior  {prior['quantity']} of {prior['channel']}: median "
            f"{figure(prior['median'])}, spread {figure(prior['spread'])} "
            f"({', '.join(prior['claims'])}); {'accepted' if prior['accepted'] else 'not in use'}"
        )


def _ask(result: Json) -> None:
    _say(result["answer"])
    for table in result["tables"]:
        shown = Table(title=table["name"], title_justify="left")
        for column in table["columns"]:
            shown.add_column(Text(column))
        for row in table["rows"]:
            shown.add_row(*(Text(cell) for cell in row))
        screen.print(shown)
        _say(f"Table: {table['path']} ({table['rows_in_all']} rows)")
    for picture in result["pictures"]:
        _say(f"Picture: {picture['path']}")
    _say(f"Program ({result['generated_by']}, {result['sandbox']}): {result['code_path']}")


def _eda(result: Json) -> None:
    report = result["quality_report"]
    earlier = result.get("earlier")
    if earlier is not None:
        relation = earlier["relation"].replace("_", " ")
        _say(
            f"Earlier: {relation}, treated as in run {earlier['workflow_id']} of "
            f"{earlier['at'][:10]}; differences: {len(earlier['differences'])}"
        )
        _say(f"  {earlier['evidence']}")
    _say(f"Data: {report['data_verdict']}, {len(report['findings'])} findings")
    if result["generated_by"] != "rules":
        _say(report["summary"])
    for finding in report["findings"]:
        _say(f"  {finding['severity']:<8}{finding['message']}")
    for chart in result["visualizations"]:
        _say(f"  chart   {chart['title']}: {chart['svg_path']}")
    for ticked in result["checklist"]:
        if ticked["status"] != "met":
            wanted = ticked["requirement"]["variable"]
            _say(f"  wanted  {wanted}: {ticked['status'].replace('_', ' ')}, {ticked['reason']}")
    _say(f"MFF: {result['mff_data_path']}")
    _say(f'Ask the data: mmm-workflows ask --mff {result["mff_data_path"]} "..."')


def _modeling(result: Json) -> None:
    window = result["window"]
    spec = result["model_spec"]
    head = f"{spec['target']} from {window['start']} to {window['end']}"
    money = result["channels"][0]["roas"] is not None
    table = Table(
        title=Text(f"{head}: mean and {_probability(result['baseline'])}"), title_justify="left"
    )
    for column in ("channel", "spend", "contribution", "share"):
        table.add_column(column)
    table.add_column("ROAS" if money else "cost per contribution, median")
    table.add_column("mROAS")
    table.add_column("from the data")
    for channel in result["channels"]:
        _add_row(
            table,
            channel["channel"],
            f"{figure(channel['spend']['value'])} {channel['spend']['unit']}",
            _cell(channel["contribution"]),
            _percent_cell(channel["share"]),
            _cell(channel["roas"]) if money else _cost_cell(channel["cost_per_contribution"]),
            _cell(channel["mroas"]),
            _learned(channel["information"]),
        )
    screen.print(table)
    reused = " (an equal fit of before)" if result["reused"] else ""
    _say(f"Fit: {result['fit_verdict']}{reused}. {result['summary']}")
    # A run of an earlier version has neither.
    _refresh(result.get("refresh"), result["summary"])
    _history(result.get("history", []), result["summary"])
    for finding in result["findings"]:
        _say(f"  {finding['severity']:<8}{finding['message']}")
    _say(f"Model: {result['model_artifact_path']}")


def _refresh(refresh: Json | None, summary: str) -> None:
    """Each channel before and after, over the periods that both fits share."""
    if refresh is None:
        return
    if refresh["note"] not in summary:
        _say(refresh["note"])
    if not refresh["channels"]:
        return
    window = refresh["common_window"]
    table = Table(
        title=Text(f"Since run {refresh['earlier_run']}: {window['start']} to {window['end']}"),
        title_justify="left",
    )
    unit = refresh["channels"][0]["common"]["after"]["unit"]
    for column in ("channel", f"before, {unit}", "now", "Monte Carlo errors apart"):
        table.add_column(Text(column))
    for channel in refresh["channels"]:
        move = channel["common"]
        apart = figure(abs(move["change_in_mcse"]))
        _add_row(
            table,
            channel["channel"],
            _cell(move["before"]),
            _cell(move["after"]),
            f"{apart}, noise" if move["within_noise"] else apart,
        )
    screen.print(table)


def _history(histories: list[Json], summary: str) -> None:
    """Each channel by each fit of its target, once there are two of them."""
    if max((len(h["fits"]) for h in histories), default=0) < 2:
        return
    money = histories[0]["quantity"] == "roas"
    what = "ROAS" if money else "cost per contribution, median"
    table = Table(title=Text(f"{what} by each fit over its own window"), title_justify="left")
    for column in ("channel", "run", "window", "fit", what):
        table.add_column(column)
    for history in histories:
        for past in history["fits"][-SHOWN:]:
            window, estimate = past["window"], past["estimate"]
            _add_row(
                table,
                history["channel"],
                past["workflow_id"],
                f"{window['start']} to {window['end']}",
                past["fit_verdict"],
                _cell(estimate) if money else _cost_cell(estimate),
            )
    screen.print(table)
    for history in histories:
        # A run of an earlier version has none.
        note = history.get("note", "")
        if note not in summary:
            _say(note)


def _whatif(result: Json) -> None:
    _say(result["interpretation"]["echo"])
    for scenario in result["scenario_results"]:
        _scenario(scenario)
    if result["optimization_results"]:
        _allocation(result["optimization_results"])
    _say(result["summary"])
    for recommendation in result["recommendations"]:
        _say(f"  - {recommendation}")
    if result.get("remembered"):
        _remembered(result["remembered"])


def _remembered(remembered: Json) -> None:
    if remembered["similar"]:
        _say(f"Earlier answers of this project: {remembered['alike']} like this one")
    for similar in remembered["similar"]:
        _say(f"  - “{similar['question']}”")
        _say(f"    {similar['said']}")
    for pattern in remembered["patterns"]:
        _say(f"  - {pattern['said']}")
    for practice in remembered["practices"]:
        study = practice["study"]
        cited = f"{study['authors']} {study['year']}, {study['title']}, {study['published_in']}"
        _say(f"  advice   {practice['said']} ({cited})")
    for found in remembered["claims"]:
        claim = found["claim"]
        page = visible(f"{claim['title']}, {claim['url']}")
        _say(f"  source   {found['channel']}: “{claim['quote']}” ({page})")
    for experiment in remembered.get("experiments", []):
        _say(f"  open     {experiment['said']}")
    for reason in remembered["not_asked"]:
        _say(f"  not asked  {reason}")


def _track(result: Json) -> None:
    title = f"{result['target']}, {result['unit']}: actual, forecast median and middle half"
    table = Table(title=Text(title), title_justify="left")
    for column in ("period", "actual", "forecast", _probability(result["periods"][0]["predicted"])):
        table.add_column(column)
    for period in result["periods"]:
        predicted = period["predicted"]
        half = f"[{figure(period['half_low'])}, {figure(period['half_high'])}]"
        most = f"[{figure(predicted['hdi_low'])}, {figure(predicted['hdi_high'])}]"
        said = f"{figure(predicted['median'])} {half}"
        _add_row(table, period["period"], figure(period["actual"]), said, most)
    screen.print(table)
    _say(result["summary"])
    for finding in result["findings"]:
        _say(f"  {finding['severity']:<8}{finding['message']}")
    for passed in result.get("passed_over", []):
        _say(f"  passed over  {passed['model_artifact_path']}: {passed['why']}")
    for left in result["plans"]["not_scored"]:
        _say(f"  not scored  {left['message']}")
    for assumed in result["assumptions"]:
        _say(f"  assumed  {assumed}")


def _scenario(scenario: Json) -> None:
    window, outcome = scenario["window"], scenario["outcome"]
    title = f"{scenario['name']}, {window['start']} to {window['end']}"
    table = Table(title=Text(title), title_justify="left")
    for column in ("", "reference", "scenario"):
        table.add_column(column)
    for channel, total in scenario["totals"].items():
        _add_row(table, channel, figure(scenario["reference_totals"][channel]), figure(total))
    unit = outcome["delta"]["unit"]
    _add_row(table, f"from media, {unit}", _cell(outcome["reference"]), _cell(outcome["scenario"]))
    _add_row(table, "change", "", _cell(outcome["delta"]))
    screen.print(table)
    if outcome["probability_better"] is not None:
        _say(
            f"Probability that it is better after its cost: {probability(outcome['probability_better'])}"
        )
    for warning in scenario["warnings"]:
        _say(f"  warning  {warning}")


def _allocation(optimization: Json) -> None:
    table = Table(title="Best allocation within the bounds", title_justify="left")
    for column in ("channel", "spend"):
        table.add_column(column)
    for channel, spend in optimization["allocation"].items():
        _add_row(table, channel, figure(spend))
    screen.print(table)
    if optimization["outcome"]:
        delta = optimization["outcome"]["delta"]
        _say(f"Against the reference: {_cell(delta)} {delta['unit']} ({_probability(delta)})")


def _add_row(table: Table, *cells: str) -> None:
    """As text: the name of a column may hold brackets, which are markup to rich."""
    table.add_row(*map(Text, cells))


def _cell(estimate: Json | None) -> str:
    return "-" if estimate is None else interval(Estimate.model_validate(estimate))


def _learned(information: Json | None) -> str:
    """How much of the return the data told; the rest its prior did, by the claims named."""
    if information is None:
        return "-"
    sources = ", ".join(information["sources"])
    return percent(information["data_share"]) + (f", else {sources}" if sources else "")


def _cost_cell(estimate: Json | None) -> str:
    if estimate is None:
        return "-"
    return interval(Estimate.model_validate(estimate), point="median")


def _percent_cell(estimate: Json) -> str:
    low, high = percent(estimate["hdi_low"]), percent(estimate["hdi_high"])
    return f"{percent(estimate['mean'])} [{low}, {high}]"


def _probability(estimate: Json) -> str:
    return f"{figure(100 * estimate['hdi_prob'])} % HDI"


def _say(sentence: str) -> None:
    screen.print(sentence, markup=False, highlight=False)
