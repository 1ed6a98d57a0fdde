"""Mentions put right by what stands written: names cut in two, firms taken for people or places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from agents.memory.extract.bio import Span
from agents.memory.extract.words import Words

# Firms whose names mean nobody and no place; those that do (Ford, Shell, Orange) are left out.
FIRMS = frozenset(
    name.strip().lower()
    for name in """
    Alibaba|Tencent|Baidu|ByteDance|JD.com|Meituan|Pinduoduo|Huawei|Xiaomi|Oppo|Vivo|Lenovo|Foxconn|TSMC|MediaTek|Asus|Acer|
    Samsung|SK Hynix|LG|Hyundai|Kia|Naver|Kakao|Sony|Panasonic|Toshiba|Hitachi|Fujitsu|NEC|Nintendo|Sega|Rakuten|SoftBank|
    Toyota|Nissan|Mitsubishi|Mazda|Subaru|Canon|Nikon|Olympus|Uniqlo|Infosys|Wipro|Flipkart|Zomato|Reliance Industries|
    Google|Microsoft|Facebook|Netflix|Nvidia|AMD|Intel|IBM|Oracle|Cisco|Qualcomm|Broadcom|Salesforce|Adobe|PayPal|eBay|
    Uber|Lyft|Airbnb|Spotify|Twitter|LinkedIn|Pinterest|Snapchat|Reddit|Dropbox|GitHub|GitLab|Shopify|Etsy|Palantir|
    Snowflake Inc|Databricks|Cloudflare|Twilio|Stripe|OpenAI|Anthropic|DeepMind|Hugging Face|Mistral AI|Mozilla|Red Hat|
    Canonical|SUSE|VMware|Dell|HP|Hewlett-Packard|Motorola|BlackBerry|Nokia|Ericsson|Vodafone|Telefonica|T-Mobile|Verizon|
    Comcast|AT&T|Telstra|Swisscom|SAP|Siemens|Bosch|Infineon|Volkswagen|BMW|Daimler|Audi|Lufthansa|Allianz|BASF|Bayer|
    Deutsche Bank|Deutsche Telekom|Deutsche Bahn|Adidas|Puma|Aldi|Lidl|Zalando|DeepL|N26|Trivago|Airbus|Renault|Peugeot|
    Carrefour|Danone|L'Oreal|L'Oréal|BNP Paribas|Sanofi|Thales|Dassault|Ubisoft|Capgemini|Michelin|Ryanair|EasyJet|
    British Airways|Barclays|HSBC|Lloyds|Natwest|Tesco|Sainsbury's|Asda|Ocado|Waitrose|Unilever|GlaxoSmithKline|AstraZeneca|
    Rolls-Royce|Arm Holdings|Revolut|Deliveroo|Monzo|Philips|ASML|ING|Heineken|KLM|Booking.com|IKEA|Ikea|Volvo|Klarna|H&M|
    Electrolux|Novo Nordisk|Maersk|Lego|Carlsberg|Equinor|Telenor|Novartis|Roche|Nestlé|Nestle|UBS|Credit Suisse|Migros|
    Logitech|Rolex|ABB|Glencore|Inditex|Zara|Iberdrola|Repsol|BBVA|Enel|Eni|Fiat|Pirelli|Petrobras|Embraer|Gazprom|Yandex|
    Kaspersky|JetBrains|Skoda|Ferrero|Pfizer|Moderna|Merck|Walmart|Costco|Starbucks|McDonald's|Burger King|KFC|Coca-Cola|
    Pepsi|PepsiCo|Nike|Reebok|Tesla|SpaceX|Boeing|Lockheed Martin|Raytheon|Exxon|ExxonMobil|Chevron|BP|Goldman Sachs|
    JPMorgan|JP Morgan|Citibank|Citigroup|Wells Fargo|Mastercard|American Express|BlackRock|Accenture|Deloitte|KPMG|McKinsey|
    PwC|Ernst & Young|FedEx|UPS|DHL|Expedia|TripAdvisor|Marriott|Hilton Hotels|Zoom Video|Slack Technologies|Atlassian
    """.split("|")
)
_FIRM_BEFORE = re.compile(
    r"\b(?:(?:work|works|worked|working) (?:at|for)|employed (?:at|by)|hired by|(?:job|intern|internship|position) (?:at|with)"
    r"|shares (?:in|of)|stock (?:in|of)|(?:company|firm|start-?up|bank|supplier|employer|agency)(?: (?:called|named))?)\s+$",
    re.IGNORECASE,
)
_FIRM_AFTER = re.compile(
    r"^\s+(?:Inc\b|Ltd\b|LLC\b|GmbH\b|AG\b|Corp\b|PLC\b|plc\b"
    r"|(?:shares|stock|employees|engineers|customers|(?:has |have )?(?:acquired|bought up|laid off|went public|filed for bankruptcy))\b)"
)
_LINKS = frozenset("of the do da de di del der den des du la le van von y e".split())
_MISTAKEN = ("person", "location")  # what a firm is taken for


def joined(text: str, words: Words, spans: Sequence[Span], things: frozenset[str]) -> list[Span]:
    """Mentions that touch with only a space between, as one: things whose words all have a capital
    or a digit ("Raspberry" "Pi"), and what goes on after a small word ("Tasca do" "Rio"). The type
    is that of the surer one."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if (
            last is not None
            and last.last == span.first
            and text[words.ends[last.last - 1] : words.starts[span.first]] == " "
            and (
                (
                    {last.type, span.type} <= things
                    and _named(text, words, last)
                    and _named(text, words, span)
                )
                or (
                    last.last - last.first > 1
                    and text[words.starts[last.last - 1] : words.ends[last.last - 1]] in _LINKS
                    and text[words.starts[span.first]].isupper()
                )
            )
        ):
            kind = last.type if last.confidence >= span.confidence else span.type
            found[-1] = Span(
                last.first, span.last, kind, min(1.0, (last.confidence + span.confidence) / 2)
            )
        else:
            found.append(span)
    return found


def _named(text: str, words: Words, span: Span) -> bool:
    return all(
        any(c.isupper() or c.isdigit() for c in text[words.starts[w] : words.ends[w]])
        for w in range(span.first, span.last)
    )


def firms(text: str, words: Words, spans: Sequence[Span]) -> list[Span]:
    """Mentions of people and places that are firms, by their names or by the words around."""
    found = []
    for span in spans:
        if span.type in _MISTAKEN and _is_firm(
            text, words.starts[span.first], words.ends[span.last - 1]
        ):
            span = replace(span, type="organisation")
        found.append(span)
    return found


def _is_firm(text: str, start: int, end: int) -> bool:
    name = text[start:end]
    if not any(c.isupper() for c in name):
        return False
    if name.lower() in FIRMS:
        return not re.search(r"\b(?:Mr|Mrs|Ms|Dr|Miss|Herr|Frau)\.?\s+$", text[:start])
    return bool(_FIRM_BEFORE.search(text[:start]) or _FIRM_AFTER.search(text[end:]))
