"""Believable contracts of a city and month, the same for the same seed: all people, firms and streets are invented.

How many contracts a housekeeper signs follows a fixed, skewed share, so that with 100 contracts or more several pass
six contracts and the tiers of 40,000 to 160,000 yuan whatever the seed; everything else is drawn.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from random import Random

SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # no daylight saving time in our years; needs no tzdata
COLUMNS = (
    "_id", "province", "serviceAppointmentNum", "Status", "serviceHousekeeper", "contractdocNum",
    "adjustRefundMoney", "paidAmount", "difference", "State", "createTime", "orgName", "signedDate", "Doorsill",
    "tradeIn", "conversion", "average", "sourceType", "projectAddress", "pcContractdocNum",
)  # fmt: skip
SHARES = (20, 16, 13, 11, 9, 7, 6, 5, 4, 3, 2, 2, 1, 1)  # per cent of the contracts, by housekeeper
SELF_REFERRAL = 1
FIRST_ID = 1_920_000_000_000_000_000  # 19 digits; neighbours up to 256 apart are one and the same float


@dataclass(frozen=True)
class _City:
    number: int
    province: str
    housekeepers: tuple[str, ...]
    providers: tuple[str, ...]
    streets: tuple[str, ...]


CITIES = {
    "BJ": _City(
        1,
        "110000",
        ("沈砚秋", "陆知远", "苏景和", "顾北辰", "沈若川", "韩牧云", "叶向晚",
         "秦望舒", "江临风", "白既明", "宋清越", "方思齐", "唐予安", "孟怀瑾"),
        ("北京燕归来装饰", "北京广厦同心装饰", "北京瓦蓝防水工程", "北京四合居装饰"),
        ("朝阳区望枫路", "海淀区知春里街", "丰台区槐安路", "通州区运潮街", "昌平区回雁路", "西城区棉花巷"),
    ),
    "SH": _City(
        2,
        "310000",
        ("许听澜", "陈逐光", "林见鹿", "周亦航", "吴念之", "徐晚舟", "钱若谷",
         "朱明远", "何以宁", "严子陵", "汪静姝", "施文澜", "陶然亭", "戴云起"),
        ("上海浦江春装饰", "上海石库门装饰", "上海申安防水工程", "上海梧桐里装饰"),
        ("浦东新区云桥路", "静安区梧桐街", "徐汇区漕溪里", "杨浦区江湾西路", "闵行区莘松路", "宝山区月浦街"),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class _Project:
    """What the contracts of one service appointment share."""

    number: str
    housekeeper: str
    provider: str
    address: str
    source_type: int
    signed: datetime
    contracts: int


@dataclass(frozen=True)
class _Contract:
    """One contract and its fate. Money is in fen; `amount_text` and `housekeeper` may be spoiled on purpose."""

    contract_id: int
    number: str
    project: _Project
    housekeeper: str
    signed: datetime
    fen: int
    as_text: bool
    paid_per_cent: int
    threshold_yuan: int
    trade_in: int
    conversion: str
    average: str
    parent_number: str
    refund_fen: int = 0
    refunded: datetime | None = None
    cancelled: datetime | None = None
    amount_text: str | None = None


class SampleMonth:
    """The contracts that a city signs in a month, and what becomes of them."""

    def __init__(
        self, city: str, year: int, month: int, seed: int, contracts: int = 120, *, faulty: bool = False
    ) -> None:
        """Draw `contracts` usable contracts of `city` ("BJ" or "SH"; else ValueError).

        `faulty` adds two rows of the first day that nobody can use: one with an amount that is no number, one without
        a housekeeper; the others stay as they are.
        """
        if city not in CITIES:
            raise ValueError(f"no sample names for city {city!r}: only {', '.join(CITIES)}")
        if contracts < 1:
            raise ValueError(f"contracts must be at least 1: {contracts}")
        self._name = f"{city}-{year:04d}-{month:02d}"
        self._city = CITIES[city]
        self._seed = seed
        self._start = datetime(year, month, 1, tzinfo=SHANGHAI)
        self._end = self._start + timedelta(days=calendar.monthrange(year, month)[1])
        rng = Random(f"{seed} {self._name}")
        self._contracts = self._draw(rng, contracts)
        if faulty:
            self._contracts += self._unusable(self._contracts)

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in the order of the values of a row."""
        return list(COLUMNS)

    def pull(self, as_of: datetime) -> list[list[object]]:
        """Return the rows signed up to `as_of` (without a zone: Shanghai time), in shuffled order.

        Refunds that have happened by then are taken off `adjustRefundMoney`; contracts cancelled by then are gone.
        """
        moment = as_of.replace(tzinfo=SHANGHAI) if as_of.tzinfo is None else as_of.astimezone(SHANGHAI)
        rows = [
            self._row(contract, moment)
            for contract in self._contracts
            if contract.signed <= moment and not (contract.cancelled and contract.cancelled <= moment)
        ]
        Random(f"{self._seed} {self._name} {moment.isoformat()}").shuffle(rows)
        return rows

    def _draw(self, rng: Random, count: int) -> list[_Contract]:
        projects = self._draw_projects(rng, count)
        last = self._end - timedelta(seconds=1)
        moments = sorted(
            (min(project.signed + nth * timedelta(days=rng.randrange(3), minutes=rng.randint(5, 90)), last), index)
            for index, project in enumerate(projects)
            for nth in range(project.contracts)
        )
        first_id = FIRST_ID + (self._start.year * 12 + self._start.month) * 10**10 + self._city.number * 10**8
        ids = rng.sample(range(first_id, first_id + 3 * count), count)
        fates = self._draw_fates(rng, [moment for moment, _ in moments])
        conversions = {name: f"{rng.uniform(0.2, 1.05):.3f}" for name in self._city.housekeepers}
        averages = {name: f"{rng.uniform(5_000, 15_000):,.2f}" for name in self._city.housekeepers}
        contracts = []
        for nth, (signed, index) in enumerate(moments):
            project = projects[index]
            fen = _draw_fen(rng)
            refund_per_cent, refunded, cancelled = fates.get(nth, (0, None, None))
            contracts.append(
                _Contract(
                    contract_id=ids[nth],
                    number=f"YHWX-{self._name.replace('-', '')}-{nth + 1:05d}",
                    project=project,
                    housekeeper=project.housekeeper,
                    signed=signed,
                    fen=fen,
                    as_text=rng.random() < 0.4,
                    paid_per_cent=rng.choice((30, 50, 100, 100)),
                    threshold_yuan=rng.choice((0, 500, 1000)),
                    trade_in=rng.choice((0, 0, 0, 1)),
                    conversion=conversions[project.housekeeper],
                    average=averages[project.housekeeper],
                    parent_number=f"PC{self._start:%Y%m}{nth + 1:05d}" if rng.random() < 0.05 else "",
                    refund_fen=fen * refund_per_cent // 100,
                    refunded=refunded,
                    cancelled=cancelled,
                )
            )
        return contracts

    def _draw_projects(self, rng: Random, count: int) -> list[_Project]:
        """Draw projects with `count` contracts in all, one to three each."""
        projects: list[_Project] = []
        for rank, contracts in enumerate(_allot(count)):
            housekeeper = self._city.housekeepers[rank]
            home = rank % len(self._city.providers)
            while contracts:
                size = min(contracts, rng.choices((1, 2, 3), (70, 22, 8))[0])
                contracts -= size
                away = rng.random() < 0.1  # some work for a second provider too
                seconds = rng.randrange(9 * 3600, 20 * 3600)
                day = rng.randrange((self._end - self._start).days)
                projects.append(
                    _Project(
                        number=f"GD{self._start:%Y%m}{len(projects) + 1:05d}",
                        housekeeper=housekeeper,
                        provider=self._city.providers[(home + away) % len(self._city.providers)],
                        address=self._draw_address(rng),
                        source_type=rng.choices((SELF_REFERRAL, 2, 3, 4), (25, 45, 20, 10))[0],
                        signed=self._start + timedelta(days=day, seconds=seconds, milliseconds=rng.randrange(1000)),
                        contracts=size,
                    )
                )
        return projects

    def _draw_address(self, rng: Random) -> str:
        street = rng.choice(self._city.streets)
        return f"{street}{rng.randint(1, 299)}号院{rng.randint(1, 18)}号楼{rng.randint(1, 24)}0{rng.randint(1, 4)}室"

    def _draw_fates(
        self, rng: Random, moments: list[datetime]
    ) -> dict[int, tuple[int, datetime | None, datetime | None]]:
        """Draw what happens to some contracts: by index, per cent refunded, when, and when cancelled.

        One in fifteen is refunded, one in sixty cancelled, at least one each where there are contracts for it; all
        within the month, as only contracts of its first twenty days are taken.
        """
        early = [nth for nth, moment in enumerate(moments) if moment < self._start + timedelta(days=20)]
        refunds, cancellations = max(1, len(moments) // 15), max(1, len(moments) // 60)
        chosen = rng.sample(early, min(len(early), refunds + cancellations))
        fates: dict[int, tuple[int, datetime | None, datetime | None]] = {}
        for place, nth in enumerate(chosen):
            when = moments[nth] + timedelta(hours=rng.uniform(20, 190))
            if place < cancellations:
                fates[nth] = (0, None, when)
            else:
                fates[nth] = (rng.randint(10, 60), when, None)
        return fates

    def _unusable(self, usable: list[_Contract]) -> list[_Contract]:
        """Return two more contracts, like the first one, each with one thing that makes it unusable."""
        next_id = max(contract.contract_id for contract in usable) + 1
        model = replace(usable[0], signed=self._start + timedelta(hours=10), refunded=None, cancelled=None)
        return [
            replace(model, contract_id=next_id, number=f"{model.number}-A", amount_text="待定"),
            replace(model, contract_id=next_id + 1, number=f"{model.number}-B", housekeeper=""),
        ]

    def _row(self, contract: _Contract, moment: datetime) -> list[object]:
        refunded = contract.refunded is not None and contract.refunded <= moment
        fen = contract.fen - (contract.refund_fen if refunded else 0)
        paid = fen * contract.paid_per_cent // 100
        project = contract.project
        return [
            contract.contract_id,
            self._city.province,
            project.number,
            "已签约",
            contract.housekeeper,
            contract.number,
            contract.amount_text or _money(fen, contract.as_text),
            _money(paid, contract.as_text),
            _money(fen - paid, contract.as_text),
            "有退款" if refunded else "正常",
            _iso(contract.signed - timedelta(hours=2)),
            project.provider,
            _iso(contract.signed),
            contract.threshold_yuan,
            contract.trade_in,
            contract.conversion,
            contract.average,
            project.source_type,
            project.address,
            contract.parent_number,
        ]


def _allot(count: int) -> list[int]:
    """Share `count` contracts out by SHARES; what rounding leaves goes to the first."""
    allotted = [count * share // 100 for share in SHARES]
    allotted[0] += count - sum(allotted)
    return allotted


def _draw_fen(rng: Random) -> int:
    """Draw an amount: most some thousand yuan, one in fifty a whole house above 60,000; four in ten are whole yuan."""
    yuan = rng.uniform(60_000, 160_000) if rng.random() < 0.02 else max(rng.lognormvariate(8.9, 0.75), 500)
    fen = round(yuan * 100)
    return fen // 100 * 100 if rng.random() < 0.4 else fen


def _money(fen: int, as_text: bool) -> object:
    """Fen as yuan, in one of the forms that Metabase gives: text with separators, or a JSON number."""
    if as_text:
        return f"{fen // 100:,}.{fen % 100:02d}"
    return fen // 100 if fen % 100 == 0 else fen / 100


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def sample_cards(seed: int = 2025) -> dict[int, SampleMonth]:
    """Return the sample months of the four shipped campaigns, by Metabase card."""
    months = {1616: ("BJ", 4), 1693: ("BJ", 5), 1617: ("SH", 4), 1694: ("SH", 5)}
    return {card: SampleMonth(city, 2025, month, seed) for card, (city, month) in months.items()}
