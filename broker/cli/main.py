"""mwl-broker: the commands, and exit codes: 0 done, 1 the work failed, 2 wrong usage or settings."""

from __future__ import annotations

import sys
from typing import Annotated

import structlog
import typer

import broker
from broker import log
from broker.cli import alarms, messages, orders, send, streams, worklist
from broker.cli.demo import demo
from broker.cli.doctor import doctor
from broker.cli.flags import SERVICE, STORE, takes_settings
from broker.cli.migrate import migrate
from broker.cli.output import remark
from broker.cli.serve import serve
from broker.errors import BrokerError, SettingsError

DONE, FAILED, WRONG_USE = 0, 1, 2

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("serve")(takes_settings(*SERVICE)(serve))
app.command("demo")(demo)
app.command("doctor")(takes_settings(*SERVICE)(doctor))
app.command("migrate")(takes_settings(*STORE)(migrate))
app.add_typer(send.commands, name="hl7")
app.add_typer(messages.commands, name="messages")
app.add_typer(orders.commands, name="orders")
app.add_typer(worklist.commands, name="worklist")
app.add_typer(alarms.commands, name="alarms")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mwl-broker {broker.__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """HL7 v2 orders in, DICOM Modality Worklist out, performed steps and images back."""


def main() -> None:
    """Run one command and end the process with its exit code."""
    streams.prepare()
    log.configure("auto")
    code = _run()
    if fault := streams.fault_of_output():
        remark(f"mwl-broker: the output could not be written: {fault}")
        code = code or FAILED
    log.flush()
    sys.exit(code)


def _run() -> int:
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else DONE if ended.code is None else FAILED
    except SettingsError as error:
        remark(f"mwl-broker: {error}")
        return WRONG_USE
    except BrokerError as error:
        remark(f"mwl-broker: {error}")
        return FAILED
    except Exception as error:
        # A traceback's text may quote values of a patient; the log keeps its kind and its places.
        structlog.get_logger().critical("process.failed", exc_info=error)
        log.flush()  # "above"
        remark("mwl-broker: ended by a fault of its own; the log line above says where")
        return FAILED
    return DONE


if __name__ == "__main__":
    main()
