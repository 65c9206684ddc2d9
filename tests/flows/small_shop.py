"""A small shop on disk: seven months of orders of sixty named-by-number customers, with a configuration around them."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

CONFIGURATION = """\
lake: ./lake
timezone: Europe/London
currency: GBP
sources:
  - dataset: orders
    channel: pos
    files: ./data/orders*.csv
    required: true
    columns:
      order_id: receipt
      customer_id: customer
      ordered_at: sold_at
      product_id: sku
      quantity: quantity
      amount: amount
  - dataset: customers
    channel: crm
    files: ./data/customers.csv
    columns: {{customer_id: customer, email: email}}
  - dataset: products
    files: ./data/products.csv
    columns: {{product_id: sku, name: title, category: category, price: price, stock_on_hand: stock}}
features: {{horizon_days: 28}}
destinations:
  - platform: outbox
    settings: {{folder: ./outbox}}
{more}"""

PRODUCTS = {
    "tea": ("Tea", "drinks", 4),
    "jam": ("Jam", "pantry", 3),
    "soap": ("Soap", "bathroom", 5),
    "cake": ("Cake", "bakery", 9),
}


def write_shop(folder: Path, *, more: str = "", until: datetime = datetime(2025, 8, 1, tzinfo=UTC)) -> Path:
    """Write data and configuration and return the configuration's path; the same every time."""
    data = folder / "data"
    data.mkdir(parents=True)
    draw = random.Random(5)
    lines = ["receipt,customer,sold_at,sku,quantity,amount"]
    number = 0
    for customer in range(60):
        rhythm = draw.choice([5, 9, 16, 40])
        when = datetime(2025, 1, 1, 9, tzinfo=UTC) + timedelta(days=draw.randint(0, 40), hours=draw.randint(0, 9))
        stops = until - timedelta(days=draw.choice([0, 0, 0, 60, 120]))
        while when < stops:
            number += 1
            for sku in draw.sample(sorted(PRODUCTS), draw.randint(1, 3)):
                count = draw.randint(1, 3)
                lines.append(
                    f"R{number},C{customer:03},{when:%Y-%m-%d %H:%M:%S},{sku},{count},{count * PRODUCTS[sku][2]:.2f}"
                )
            when += timedelta(days=max(1, round(draw.expovariate(1 / rhythm))))
    (data / "orders.csv").write_text("\n".join(lines) + "\n")
    people = [f"C{customer:03},c{customer}@example.com" for customer in range(62)]
    (data / "customers.csv").write_text("customer,email\n" + "\n".join(people) + "\n")
    stock = [f"{sku},{title},{category},{price},40" for sku, (title, category, price) in PRODUCTS.items()]
    (data / "products.csv").write_text("sku,title,category,price,stock\n" + "\n".join(stock) + "\n")
    path = folder / "segmentation.yaml"
    path.write_text(CONFIGURATION.format(more=more))
    return path
