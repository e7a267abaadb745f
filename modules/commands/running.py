"""The jobs that there are, and one of them run by hand."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from modules import health, terminal
from modules.application import Application
from modules.campaign_run import JobReport, RunOptions, find_campaign, run_campaign
from modules.commands.shared import AsJson, At, DryRun, moment, opened
from modules.errors import EXPECTED_ERRORS, FAILED, exit_code_of, words_of
from modules.fixed_run import FixedJobReport, run_fixed_job
from modules.scheduled_job import Job


def register(
    cli: typer.Typer,
    fixed_jobs: Callable[[Application], Sequence[Job]],
    fixed_job: Callable[[Application, str], Job | None],
) -> None:
    """Add the commands. `fixed_job` finds one by its key: None for a campaign's; raises JobRefusedError where there is
    neither."""

    @cli.command("jobs")
    def list_jobs(as_json: AsJson = False) -> None:
        """列出任务和上次运行的结果。"""
        with opened() as app:
            states = health.job_states(app, app.clock(), fixed_jobs(app))
            if as_json:
                terminal.print_json([state.__dict__ for state in states])
            else:
                terminal.show_jobs(states)

    @cli.command()
    def run(
        job: Annotated[str, typer.Argument(help="活动编号，如 BJ-2025-05，或 main.py jobs 列出的任务。")],
        at: At = None,
        dry_run: DryRun = False,
        force: Annotated[bool, typer.Option("--force", help="在活动运行期之外也运行。")] = False,
        accept_shrink: Annotated[bool, typer.Option("--accept-shrink", help="源数据大幅减少属实，照此运行。")] = False,
        silent: Annotated[bool, typer.Option("--silent", help="照常登记和发奖，但不播报，也不发奖励通知。")] = False,
        as_json: AsJson = False,
    ) -> None:
        """立即运行一个任务；标准输出的最后一行是 JSON 结果。"""
        options = RunOptions(dry_run=dry_run, force=force, accept_shrink=accept_shrink, silent=silent)
        report: JobReport | FixedJobReport
        try:
            with opened() as app:
                as_of = moment(at, app.clock())
                fixed = fixed_job(app, job)
                if fixed is None:
                    report = run_campaign(app, find_campaign(app, job, as_of, options), as_of, options)
                else:
                    report = run_fixed_job(app, fixed, as_of, options)
                unwritten = app.views.faults()
        except EXPECTED_ERRORS as error:
            report, unwritten = JobReport(job, "failed", error=words_of(error)), []
            exit_code = exit_code_of(error)
        else:
            exit_code = FAILED if report.outcome == "failed" else 0
        if isinstance(report, JobReport) and report.preview and not as_json:
            terminal.show_preview(*report.preview)
        terminal.print_unwritten(unwritten)
        if report.error:
            terminal.print_error(report.error)
        terminal.print_json(report.summary())
        raise typer.Exit(exit_code)
