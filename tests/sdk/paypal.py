"""PayPal's official client against its simulator: an order, its approval, its capture and a refund."""

# requires: paypal-server-sdk==2.4.0

import sys
from urllib.request import Request, urlopen

from apimatic_core.exceptions.auth_validation_exception import AuthValidationException
from paypalserversdk.configuration import Configuration, Environment, Server
from paypalserversdk.exceptions.error_exception import ErrorException
from paypalserversdk.http.auth.o_auth_2 import ClientCredentialsAuthCredentials
from paypalserversdk.models.amount_with_breakdown import AmountWithBreakdown
from paypalserversdk.models.checkout_payment_intent import CheckoutPaymentIntent
from paypalserversdk.models.money import Money
from paypalserversdk.models.order_request import OrderRequest
from paypalserversdk.models.purchase_unit_request import PurchaseUnitRequest
from paypalserversdk.models.refund_request import RefundRequest
from paypalserversdk.paypal_serversdk_client import PaypalServersdkClient

BASE, ours = sys.argv[1:]
# It knows PayPal's two hosts alone.
Configuration.environments[Environment.SANDBOX][Server.DEFAULT] = BASE


def client_with(secret: str) -> PaypalServersdkClient:
    credentials = ClientCredentialsAuthCredentials("simulated-client", secret)
    return PaypalServersdkClient(client_credentials_auth_credentials=credentials, environment=Environment.SANDBOX)


def order(value: str) -> OrderRequest:
    amount = AmountWithBreakdown(currency_code="USD", value=value)
    unit = PurchaseUnitRequest(amount=amount, custom_id="top_sdk", description="2500 credits")
    return OrderRequest(intent=CheckoutPaymentIntent.CAPTURE, purchase_units=[unit])


client = client_with("simulated-secret")
made = client.orders.create_order({"body": order("25.00"), "paypal_request_id": "sdk-1"}).body
assert made.status == "PAYER_ACTION_REQUIRED", made
again = client.orders.create_order({"body": order("25.00"), "paypal_request_id": "sdk-1"}).body
assert again.id == made.id, again
page = next(link.href for link in made.links if link.rel == "payer-action")


def refused(call, issue: str) -> None:
    try:
        call()
    except ErrorException as error:
        assert error.response_code == 422 and error.details[0].issue == issue, error
        return
    raise AssertionError(f"{issue} was taken")


refused(lambda: client.orders.create_order({"body": order("25.001")}), "DECIMAL_PRECISION")
capture = {"id": made.id, "paypal_request_id": "sdk-1-capture"}
refused(lambda: client.orders.capture_order(capture), "ORDER_NOT_APPROVED")
with urlopen(Request(page, b"paid=1", method="POST")):
    pass
assert client.orders.get_order({"id": made.id}).body.status == "APPROVED"
captured = client.orders.capture_order(capture).body
assert captured.status == "COMPLETED", captured
taken = captured.purchase_units[0].payments.captures[0]
assert (taken.status, taken.amount.value, taken.custom_id) == ("COMPLETED", "25.00", "top_sdk"), taken
same = client.orders.capture_order(capture).body
assert same.purchase_units[0].payments.captures[0].id == taken.id, same
refused(lambda: client.orders.capture_order({"id": made.id, "paypal_request_id": "other"}), "ORDER_ALREADY_CAPTURED")
assert client.payments.get_captured_payment({"capture_id": taken.id}).body.status == "COMPLETED"

# What our own flow has paid.
part = RefundRequest(amount=Money(currency_code="USD", value="3.00"))
back = client.payments.refund_captured_payment({"capture_id": ours, "body": part, "paypal_request_id": "sdk-2"}).body
assert (back.status, back.amount.value) == ("COMPLETED", "3.00"), back
assert client.payments.get_captured_payment({"capture_id": ours}).body.status == "PARTIALLY_REFUNDED"

try:
    client_with("wrong").orders.get_order({"id": made.id})
    raise AssertionError("a wrong secret was taken")
except AuthValidationException:
    pass
