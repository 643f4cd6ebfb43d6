"""The errors of this package, drawn by who must act.

MMMError
├── UserError             the user: the data, the question or the command
│   ├── DatasetError      a file or a table cannot be used as it is
│   ├── SpecError         a model cannot be specified as asked
│   ├── QueryError        a what-if question or plan cannot be carried out
│   ├── ModelFileError    a model folder is missing, damaged or from elsewhere
│   ├── RunError          a run is unknown, busy or not in the state that was needed
│   │   ├── RunNotFound   there is none
│   │   ├── RunBusy       another works on it, or is about to
│   │   ├── RunLost       another has taken it over
│   │   └── RunCancelled  it was cancelled while it was worked on
│   ├── SettingsError     a setting has a value that cannot be used
│   ├── PathForbidden     a path of a request leads out of the folders it may read
│   └── ProjectForbidden  a key does not open the project of a request
├── InvalidReply          the language model: asked again at most twice
├── ServiceUnavailable    the operator: a service that was set cannot be reached
│   ├── ServiceLost       it went away, and a run waits for it
│   └── SandboxUnavailable  nothing on this machine can hold generated code
├── WebError              nobody: a page or search could not be used, the run goes on and says so
│   └── PageWithoutText   a page shows nothing until a browser has built it
└── FitFailed             a fit ended without a result
"""

from __future__ import annotations

from typing import Final

CODES: Final[dict[str, str]] = {
    "dataset_not_found": "A named file does not exist or is not a file.",
    "connection_unknown": "No database of this name is set for the project.",
    "dataset_unreadable": "A file is not text in a known encoding, or not a table.",
    "dataset_empty": "A file has no content.",
    "dataset_no_rows": "A file has a header and no rows.",
    "dataset_header_invalid": "A header names a column twice or leaves one without a name.",
    "dataset_row_ragged": "A row has another number of cells than the header.",
    "dataset_too_large": "A file has more cells than are read at once.",
    "dataset_column_unknown": "A named column is not in the data.",
    "dataset_column_ambiguous": "A column could not be chosen by the rules alone.",
    "dataset_number_unreadable": "A cell of a number column does not hold a number.",
    "dataset_cell_missing": "A cell that is needed is blank.",
    "dataset_date_unreadable": "A cell of the date column does not hold a date.",
    "dataset_date_ambiguous": "The dates can be read in two ways.",
    "dataset_duplicate_dates": "A period appears more than once.",
    "dataset_gap": "Periods are missing between the first and the last.",
    "dataset_frequency_unknown": "The periods are not daily, weekly or monthly.",
    "dataset_negative_spend": "A channel has a spend below zero.",
    "dataset_constant": "A series does not vary where it must.",
    "dataset_target_not_positive": "A target is never above zero.",
    "dataset_too_short": "There are too few periods to learn anything.",
    "dataset_merge_conflict": "Several files cannot be merged into one table.",
    "actuals_none": "A file of actuals has no period after the model's last one.",
    "actuals_unit": "A file of actuals gives a variable in another unit than the model's data.",
    "mff_invalid": "A file is not a valid MFF table with its sidecar.",
    "mff_changed": "An MFF table is not the one its sidecar was written for.",
    "mff_not_the_models": "An MFF is not the one that the model was fitted on.",
    "spec_invalid": "A choice of the model is not one that is offered.",
    "spec_variable_unknown": "The model names a variable that the data does not have.",
    "spec_no_channel": "No channel is left to model.",
    "plan_invalid": "A research plan has a field or value that cannot be read.",
    "query_invalid": "A plan or budget cannot be carried out on this model.",
    "query_out_of_reach": "A budget lies outside what the bounds or the data allow.",
    "query_unclear": "A question cannot be read in full, so it is asked back.",
    "model_not_found": "There is no model folder at this path.",
    "model_damaged": "A file of the model folder is missing or has changed.",
    "model_schema": "A model folder was written by another version of the format.",
    "request_invalid": "The arguments of a workflow cannot be read.",
    "request_too_large": "A request is longer than is taken.",
    "key_required": "A request has no key, or one that is not known.",
    "origin_refused": "A page of another site may not call this service.",
    "host_refused": "The service was asked for under a name that is not its own.",
    "too_many_requests": "A caller asks more often than is allowed.",
    "service_busy": "The service works on as many requests as it takes at once.",
    "service_starting": "The service is still being opened.",
    "address_unknown": "There is no such address or method in the API.",
    "path_forbidden": "A path of a request leads out of the folders it may read.",
    "project_forbidden": "The key of a request does not open the project that it names.",
    "workflow_id_invalid": "A workflow_id has characters that are not allowed.",
    "run_not_found": "There is no run with this workflow_id.",
    "run_busy": "Another process is working on this run, or is about to.",
    "run_lost": "Another process has taken this run over.",
    "run_cancelled": "A run was cancelled while it was worked on.",
    "run_crashed": "A run ended the process that worked on it again and again.",
    "run_conflict": "The workflow_id belongs to a run with other inputs.",
    "idempotency_key_reused": "An Idempotency-Key was sent before with another request.",
    "run_state": "The run is not in a state in which this can be done.",
    "run_graph_changed": "The run was started by another version of the workflow.",
    "lineage_unknown": "Nothing that was kept has this id, path or hash, or no figure is there.",
    "project_invalid": "A project name has characters that are not allowed.",
    "settings_invalid": "A setting has a value that cannot be used.",
    "checkpoint_key": "A checkpoint was written under another CHECKPOINT_KEY, or under none.",
    "reply_invalid": "A language model's reply does not have the shape asked for.",
    "language_model_unavailable": "The language model's server cannot be reached or failed.",
    "language_model_unknown": "The language model's server does not have the model that was set.",
    "language_model_budget": "A run has used up its calls or tokens of the language model.",
    "search_unavailable": "The search engine cannot be reached or failed.",
    "search_rate_limited": "The search engine asks to come back later.",
    "page_forbidden": "A page's address leads to a machine or scheme that is not for reading.",
    "page_robots": "A site does not want this page to be read by programs.",
    "page_too_large": "A page is larger than is taken.",
    "page_type": "A page is no text that can be read.",
    "page_timeout": "A page took longer than is waited.",
    "page_unreachable": "A page's server cannot be reached.",
    "page_status": "A page's server answered with an error.",
    "page_not_recorded": "A replay has no record of this search or page.",
    "web_budget": "Research has used up its searches, pages, bytes or time.",
    "browser_unavailable": "Pages that need a browser cannot be read on this machine.",
    "sandbox_unavailable": "Nothing on this machine can hold generated code, so none is run.",
    "answer_unreadable": "What a program wrote as its answer cannot be read.",
    "code_missing": "A question needs code, and neither a model nor a person wrote any.",
    "claim_invalid": "A claim does not say what its quote says, or its quote is not in the page.",
    "graph_cyclic": "Causes and effects of a plan run in a circle.",
    "artifact_not_found": "The run has no artifact with this id.",
    "artifact_damaged": "A stored artifact is missing or has changed.",
    "service_unavailable": "A service that was set cannot be reached.",
    "service_not_supported": "A service was set that this version cannot use yet.",
    "embeddings_unavailable": "The embedding model is absent, changed or cannot be reached.",
    "vectors_owned": "Another process owns the embedded vector store.",
    "vectors_of_another_model": "Stored vectors were made by another embedding model.",
    "store_schema": "A stored record was written by a newer version.",
    "fit_failed": "The fit raised an error.",
    "fit_died": "The process of the fit ended without a result.",
    "internal": "Something went wrong on our side.",
}


class MMMError(Exception):
    """An error raised on purpose; its text says what was found, expected and to be done.

    Args:
        message: The sentence for the reader.
        code: A key of ``CODES``; the class's own code when it is left out.
    """

    default_code = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        if self.code not in CODES:
            raise KeyError(f"{self.code!r} is not in errors.CODES")

    def __reduce__(self) -> tuple[type[MMMError], tuple[str], dict[str, str]]:
        """Keep the code when the error crosses a process boundary."""
        return type(self), (self.message,), {"message": self.message, "code": self.code}


class UserError(MMMError):
    """The user can put it right."""

    default_code = "request_invalid"


class DatasetError(UserError):
    """A file or a table cannot be used as it is."""

    default_code = "dataset_unreadable"


class SpecError(UserError):
    """A model cannot be specified as asked."""

    default_code = "spec_invalid"


class QueryError(UserError):
    """A what-if question or plan cannot be carried out."""

    default_code = "query_invalid"


class ModelFileError(UserError):
    """A model folder is missing, damaged or from elsewhere."""

    default_code = "model_damaged"


class RunError(UserError):
    """A run is unknown, busy or not in the state that was needed."""

    default_code = "run_state"


class RunNotFound(RunError):
    """There is no such run."""

    default_code = "run_not_found"

    @classmethod
    def of(cls, workflow_id: str) -> RunNotFound:
        """The error for the id of no run."""
        return cls(
            f"There is no run {workflow_id!r}. `mmm-workflows list` shows the runs that there are."
        )


class RunBusy(RunError):
    """Somebody works on a run, or is about to."""

    default_code = "run_busy"

    @classmethod
    def of(cls, workflow_id: str, holder: str) -> RunBusy:
        """The error for a run that ``holder`` works on."""
        return cls(
            f"Run {workflow_id} is being worked on by {holder}. Wait for it, watch it with "
            f"`mmm-workflows watch {workflow_id}`, cancel it, or stop that process; its end frees "
            "the run."
        )


class RunLost(RunError):
    """The right to work on a run went to another; what was written until then stands."""

    default_code = "run_lost"

    @classmethod
    def of(cls, workflow_id: str) -> RunLost:
        """The error for a run that was taken over."""
        return cls(
            f"Run {workflow_id} was taken over by another process, because this one was not heard "
            f"of for longer than LEASE_S. Follow it with `mmm-workflows watch {workflow_id}`."
        )


class RunCancelled(RunError):
    """A run was cancelled while the caller worked on it; it can be gone on with."""

    default_code = "run_cancelled"

    @classmethod
    def of(cls, workflow_id: str) -> RunCancelled:
        """The error for a run that was to be cancelled."""
        return cls(
            f"Run {workflow_id} was cancelled. "
            f"`mmm-workflows resume {workflow_id}` goes on with it."
        )


class SettingsError(UserError):
    """A setting has a value that cannot be used."""

    default_code = "settings_invalid"


class PathForbidden(UserError):
    """A path of a request leads out of the folders it may read."""

    default_code = "path_forbidden"


class ProjectForbidden(UserError):
    """The key of a request does not open the project that it names."""

    default_code = "project_forbidden"


class InvalidReply(MMMError):
    """A language model's reply does not have the shape asked for."""

    default_code = "reply_invalid"


class ServiceUnavailable(MMMError):
    """A service that was set cannot be reached; trying again later may work."""

    default_code = "service_unavailable"


class ServiceLost(ServiceUnavailable):
    """A service went away, and is expected back: a run that needs it waits for some time."""


class SandboxUnavailable(ServiceUnavailable):
    """Nothing on this machine can hold generated code; it was shown, not run."""

    default_code = "sandbox_unavailable"


class WebError(MMMError):
    """A page or a search could not be used; research goes on without it and says so."""

    default_code = "page_unreachable"


class PageWithoutText(WebError):
    """A page shows nothing without a browser."""

    default_code = "page_type"


class FitFailed(MMMError):
    """A fit ended without a result; nothing was published."""

    default_code = "fit_failed"
